// node wasm-alone.mjs MODULE X PROBS N: calls perceptron_run of an object that was linked for wasm32 without any libc.
//
// The module has a memory and nothing else; what C would lay out, structs of 32-bit pointers, is laid out here, behind the
// module's own data.
import { readFile, writeFile } from 'node:fs/promises';
import { argv, exit } from 'node:process';

const [path, input, output, n] = argv.slice(2);
const { instance } = await WebAssembly.instantiate(await readFile(path), {});
const { memory, perceptron_run, __heap_base } = instance.exports;
const x = await readFile(input);
const bytes = { x: x.length, probs: 8 * Number(n), inputs: 4, outputs: 4, arena: 1 << 20 };
const at = {};
let end = (__heap_base.value + 63) & ~63;
for (const [name, size] of Object.entries(bytes)) {
    at[name] = end;
    end = (end + size + 63) & ~63;
}
memory.grow(Math.ceil(Math.max(0, end - memory.buffer.byteLength) / 65536));
new Uint8Array(memory.buffer).set(x, at.x);
const view = new DataView(memory.buffer);
view.setUint32(at.inputs, at.x, true);
view.setUint32(at.outputs, at.probs, true);
const code = perceptron_run(BigInt(n), at.inputs, at.outputs, at.arena);
await writeFile(output, new Uint8Array(memory.buffer, at.probs, bytes.probs));
exit(code);
