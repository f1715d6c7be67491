/* Uses the pages that tests/explain_page.sh has made in a folder; TAP on stdout. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { open } from './browser.mjs';

const folder = process.argv[2], checks = [];
const check = (name, ok, seen) => {
  checks.push(ok);
  console.log((ok ? 'ok ' : 'not ok ') + checks.length + ' - ' + name + (ok ? '' : '\n# saw ' + JSON.stringify(seen)));
};
const equal = (name, got, wanted) => check(name, JSON.stringify(got) === JSON.stringify(wanted), { got, wanted });
const b = await open();
if (!b) { console.log('1..1\nok 1 # SKIP no Chromium that starts'); process.exit(0); }

const page = (name) => join(folder, name + '.html');
const type = (text) => b.run(`(() => { const s = document.getElementById('search'); s.value = ${JSON.stringify(text)}; s.dispatchEvent(new Event('input')); })()`);
const click = (selector) => b.run(`document.querySelector(${JSON.stringify(selector)}).click()`);
const group = (name) => b.run(`(() => { const g = document.getElementById('group'); g.value = ${JSON.stringify(name)}; g.dispatchEvent(new Event('change')); })()`);
const rowsShown = () => b.run(`document.querySelectorAll('tbody tr[data-row]').length`);
const column = (key) => b.run(`[...document.querySelectorAll('tbody tr[data-row]')].map((r) => kernels[r.dataset.row][${JSON.stringify(key)}])`);
const middle = (selector) => b.run(`(() => { const r = document.querySelector(${JSON.stringify(selector)}).getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()`);
const isSorted = (list, down) => list.every((x, i) => i === 0 || (down ? list[i - 1] >= x : list[i - 1] <= x));

async function quiet(name) {
  equal(name + ': no error in the console', b.problems, []);
  equal(name + ': nothing asked from the network', b.requests, []);
}

async function large(name) {
  const bytes = statSync(page(name)).size;
  check(name + ': less than 2 MB', bytes < 2e6, bytes);
  let best = Infinity;
  for (let i = 0; i < 3; i++) {
    await b.load('file://' + page(name));
    best = Math.min(best, await b.run(`performance.getEntriesByType('navigation')[0].loadEventEnd`));
  }
  console.log('# ' + name + ': opens in ' + best.toFixed(0) + ' ms'); // told, not asserted: machines are shared
  check(name + ': opens', best > 0 && best < Infinity, best);
  const n = await b.run(`kernels.filter((k) => k.part == 'run').length`);
  equal(name + ': a box for each kernel', await b.run(`document.querySelectorAll('#canvas .node[data-row]').length`), n);
  check(name + ': boxes do not overlap', await b.run(`(() => { const l = drawing.list; return l.every((u, i) => l.slice(i + 1).every((v) => Math.abs(u.x - v.x) >= BOX.width || Math.abs(u.y - v.y) >= BOX.height)); })()`));
  check(name + ': texts stay in their boxes', await b.run(`[...document.querySelectorAll('#canvas .node')].every((g) => [...g.querySelectorAll('text')].every((t) => t.getBBox().x + t.getBBox().width <= BOX.width))`));

  await b.click(...await middle('#canvas .node[data-row="' + await b.run('drawing.list.find((u) => u.kernel).kernel.row') + '"]'));
  const first = await b.run('drawing.list.find((u) => u.kernel).kernel.title');
  equal(name + ': a click on a box shows its kernel', await b.run(`document.querySelector('#details h2').textContent`), first);
  check(name + ': with its nodes, and why it is so', await b.run(`document.querySelectorAll('#details .op .from').length > 0 && document.querySelectorAll('#details li').length > 3`));
  const before = await b.run('view.scale');
  await click('#zoom-in');
  check(name + ': zoom', await b.run('view.scale') > before);
  await b.run(`document.getElementById('canvas').focus()`);
  await b.key('ArrowDown');
  await b.key('0');
  check(name + ': the whole graph fits the window', await b.run(`(() => { const s = document.getElementById('scene').getBoundingClientRect(), c = document.getElementById('canvas').getBoundingClientRect(); return s.height <= c.height + 1 && s.width <= c.width + 1; })()`));

  await click('#tab-table');
  await group('nothing');
  equal(name + ': a row for each kernel', await rowsShown(), n);
  for (const key of ['ms', 'flops', 'bytes', 'predicted_ms']) {
    await click(`thead [data-key=${key}]`);
    check(name + ': sorted by ' + key + ', the largest first', isSorted(await column(key), true));
    await click(`thead [data-key=${key}]`);
    check(name + ': and the smallest first', isSorted(await column(key), false));
  }
  await click('thead [data-key=row]');
  check(name + ': in the order in which they run', isSorted(await column('row'), false));

  const word = await b.run(`kernels.find((k) => k.part == 'run' && k.class != kernels.find((o) => o.part == 'run').class).class`);
  await type(word);
  const wanted = await b.run(`kernels.filter((k) => k.part == 'run' && k.text.includes(${JSON.stringify(word)})).length`);
  check(name + ': a search leaves some rows', wanted > 0 && wanted < n, wanted);
  equal(name + ': those that it finds', await rowsShown(), wanted);
  equal(name + ': and says how many', await b.run(`document.getElementById('found').textContent`), wanted + ' of ' + n);
  equal(name + ': in the graph the others are faint', await b.run(`document.querySelectorAll('#canvas .node[data-row]:not(.dimmed)').length`), wanted);
  const source = await b.run(`kernels.find((k) => k.part == 'run' && k.source).source`);
  await type(source);
  check(name + ': a node is found by its name', (await column('source')).includes(source));
  await type('no such thing');
  equal(name + ': nothing is found', await rowsShown(), 0);
  await type('');

  await group('class');
  equal(name + ': groups hide nothing', await rowsShown(), n);
  const inFirst = await b.run(`tree().groups.get([...tree().groups.keys()].find((g) => tree().groups.get(g).all.length > 1)).all.length`);
  await click('tbody tr.group');
  const hidden = n - await rowsShown();
  check(name + ': a folded group hides its rows', hidden === inFirst || (hidden > 0 && hidden < n), { hidden, inFirst });
  await click('#unfold');
  equal(name + ': unfolded they are back', await rowsShown(), n);
  await b.run(`document.querySelector('tbody tr[data-row]').focus()`);
  await b.key('Enter');
  equal(name + ': Enter on a row shows its kernel', await b.run('state.selected'), await b.run(`+document.querySelector('tbody tr[data-row]').dataset.row`));
  await b.key('Escape');
  equal(name + ': Escape closes', await b.run('state.selected'), -1);
  await b.run('document.activeElement.blur()');
  await b.key('/', '/');
  equal(name + ': / goes to the search', await b.run('document.activeElement.id'), 'search');

  await click('#tab-arena');
  equal(name + ': a rectangle for each value in the arena', await b.run(`document.querySelectorAll('#arena .block').length`), await b.run(`data.arena.filter((x) => x.part == 'run').length`));
  await b.hover(...await middle('#arena .block'));
  check(name + ': with its name and bytes', await b.run(`!document.getElementById('tip').hidden && document.getElementById('tip').textContent.includes(data.arena.find((x) => x.part == 'run').what)`));
  await b.run(`document.getElementById('tab-arena').focus()`);
  await b.key('ArrowRight');
  check(name + ': arrows go from tab to tab', await b.run(`!document.getElementById('whole').hidden && document.querySelectorAll('#whole tr').length > 10`));
  await click('#tab-table');
  await group('nothing');
  await click('#prepare');
  equal(name + ': with the packing of weights', await rowsShown(), await b.run('kernels.length'));
  await quiet(name);
}

if (existsSync(page('random_resnet50'))) await large('random_resnet50');

if (existsSync(page('paraphrase-MiniLM-L3-v2'))) {
  const name = 'paraphrase-MiniLM-L3-v2';
  await b.load('file://' + page(name));
  equal(name + ': grouped by module path', await b.run('state.group'), 'module path');
  const boxes = () => b.run(`document.querySelectorAll('#canvas .node').length`);
  const all = await boxes();
  await click('#fold');
  const few = await boxes();
  check(name + ': folded groups are one box each', few < all / 2 && await b.run(`document.querySelectorAll('#canvas .node.group').length > 0`), { few, all });
  await b.click(...await middle('#canvas .node.group'));
  check(name + ': a click unfolds', await boxes() > few);
  await click('#tab-table');
  await click('#unfold');
  const rows = await rowsShown();
  await click('#fold');
  check(name + ': rows fold too', await rowsShown() < rows);
  await click('#unfold');
  await click('tbody tr.group');
  check(name + ': and one group alone', await rowsShown() < rows && await b.run('state.folded.size') === 1);
  await quiet(name);
}

await b.load('file://' + page('hostile'));
equal('names are no markup', await b.run(`[document.querySelectorAll('script').length, document.querySelectorAll('img').length, document.querySelectorAll('#graph b').length]`), [2, 0, 0]);
check('names are shown as they are', await b.run(`(() => { select(kernels.findIndex((k) => k.part == 'run')); return document.getElementById('canvas').textContent.includes('</script>') && document.getElementById('details').textContent.includes('</script><script>throw 1</script>'); })()`));
check('the title too', (await b.run('document.title')).startsWith("</title><script>document.title='broken'</script>"), await b.run('document.title'));
await quiet('hostile names');
await b.close();

const dark = await open(1000, 700, true);
await dark.load('file://' + page('hostile'));
check('dark where that is preferred', await dark.run(`getComputedStyle(document.body).backgroundColor`) === 'rgb(20, 23, 29)', await dark.run(`getComputedStyle(document.body).backgroundColor`));
await dark.close();
console.log('1..' + checks.length);
process.exit(checks.every((ok) => ok) ? 0 : 1);
