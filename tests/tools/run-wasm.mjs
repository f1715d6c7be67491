// node run-wasm.mjs PROGRAM ARGUMENT...: runs a program for WASI in this folder.
import { WASI } from 'node:wasi';
import { readFile } from 'node:fs/promises';
import { argv, exit } from 'node:process';

const wasi = new WASI({ version: 'preview1', args: argv.slice(2), preopens: { '.': '.' } });
const module = await WebAssembly.compile(await readFile(argv[2]));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
exit(wasi.start(instance));
