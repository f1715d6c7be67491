/* A headless Chromium driven through its DevTools protocol over pipes: node alone, no packages.
 *
 *   const browser = await open();                    // or null: there is no Chromium
 *   await browser.load('file:///...');               // resolves when the page has loaded
 *   await browser.run('document.title');             // value of an expression
 *   browser.problems, browser.requests               // console errors and exceptions; URLs other than the page's
 *   await browser.picture('shot.png'); await browser.close();
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const names = [process.env.CHROMIUM, 'chromium', 'chromium-browser', 'google-chrome'].filter((n) => n);

export async function open(width = 1440, height = 860, isDark = false) {
  const program = names.find((n) => spawnSync(n, ['--version']).status === 0);
  if (!program) return null;
  const profile = mkdtempSync(join(tmpdir(), 'tenon-page-'));
  const child = spawn(program, ['--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--no-first-run',
    '--remote-debugging-pipe', '--window-size=' + width + ',' + height, '--user-data-dir=' + profile, 'about:blank'],
  { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
  const [write, read] = [child.stdio[3], child.stdio[4]], waiting = new Map(), listeners = [];
  let number = 0, rest = Buffer.alloc(0), session;
  const send = (method, params = {}, to = session) => new Promise((resolve, reject) => {
    waiting.set(++number, { resolve, reject });
    write.write(JSON.stringify({ id: number, method, params, sessionId: to }) + '\0');
  });
  read.on('data', (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    for (let end; (end = rest.indexOf(0)) >= 0; rest = rest.subarray(end + 1)) {
      const message = JSON.parse(rest.subarray(0, end).toString());
      const call = waiting.get(message.id);
      if (call) {
        waiting.delete(message.id);
        message.error ? call.reject(new Error(message.error.message)) : call.resolve(message.result);
      } else for (const listen of listeners) listen(message.method, message.params);
    }
  });
  child.on('exit', () => waiting.forEach((call) => call.reject(new Error('the browser has ended'))));

  const target = await send('Target.createTarget', { url: 'about:blank' }, undefined);
  session = (await send('Target.attachToTarget', { targetId: target.targetId, flatten: true }, undefined)).sessionId;
  const browser = { problems: [], requests: [], send };
  let page = '', loaded = () => {};
  listeners.push((method, p) => {
    if (method === 'Runtime.exceptionThrown') browser.problems.push(p.exceptionDetails.exception?.description || p.exceptionDetails.text);
    if (method === 'Runtime.consoleAPICalled' && p.type === 'error') browser.problems.push(p.args.map((a) => a.value || a.description).join(' '));
    if (method === 'Log.entryAdded' && p.entry.level === 'error') browser.problems.push(p.entry.text);
    if (method === 'Network.requestWillBeSent' && p.request.url !== page && !p.request.url.startsWith('data:')) browser.requests.push(p.request.url);
    if (method === 'Page.loadEventFired') loaded();
  });
  for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await send(domain + '.enable');
  await send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false });
  await send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: isDark ? 'dark' : 'light' }] });

  browser.load = async (url) => {
    page = url;
    const done = new Promise((resolve) => { loaded = resolve; });
    await send('Page.navigate', { url });
    await done;
  };
  browser.run = async (expression) => {
    const { result, exceptionDetails } = await send('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description || exceptionDetails.text);
    return result.value;
  };
  browser.key = async (key, text) => {
    await send('Input.dispatchKeyEvent', { type: 'keyDown', key, text });
    await send('Input.dispatchKeyEvent', { type: 'keyUp', key });
  };
  browser.click = async (x, y) => {
    for (const type of ['mousePressed', 'mouseReleased']) await send('Input.dispatchMouseEvent', { type, x, y, button: 'left', buttons: 1, clickCount: 1 });
  };
  browser.hover = (x, y) => send('Input.dispatchMouseEvent', { type: 'mouseMoved', x, y });
  browser.picture = async (path) => writeFileSync(path, Buffer.from((await send('Page.captureScreenshot', { format: 'png' })).data, 'base64'));
  browser.close = async () => {
    await send('Browser.close', {}, undefined).catch(() => {});
    await new Promise((resolve) => (child.exitCode === null ? child.on('exit', resolve) : resolve()));
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return browser;
}
