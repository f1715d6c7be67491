/* The page of `tenon explain`: data in, views out.
 *
 *   data     what report_json.c writes; docs/EXPLAIN.md lists its fields
 *   state    what is selected, searched for, folded, sorted
 *   views    graph, table, memory, compilation, details: each drawn anew from data and state
 *
 * Everything shown is a text node: names of a model are never markup.
 */
'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const kernels = data.kernels, values = data.values;
const $ = (id) => document.getElementById(id);

// ---- Elements ------------------------------------------------------------------------------

function fill(e, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {}))
    if (key.startsWith('on')) e.addEventListener(key.slice(2), value);
    else if (value !== false && value != null) e.setAttribute(key, value === true ? '' : value);
  for (const child of children.flat()) if (child != null) e.append(child);
  return e;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);

// ---- Figures -------------------------------------------------------------------------------

function scaled(x, step, units) {
  if (x == null) return '?';
  let unit = 0;
  while (unit < units.length - 1 && x >= step * 0.9995) { x /= step; unit++; }
  return x.toFixed(x >= 100 || unit == 0 ? 0 : x >= 10 ? 1 : 2) + ' ' + units[unit];
}
const count = (x) => scaled(x, 1000, ['', 'k', 'M', 'G', 'T']).trim();
const flop = (x) => scaled(x, 1000, ['', 'k', 'M', 'G', 'T']) + 'FLOP';
const bytes = (x) => scaled(x, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']);
const time = (ms) => ms == null ? '-' : ms >= 100 ? ms.toFixed(0) + ' ms' : ms >= 10 ? ms.toFixed(1) + ' ms'
  : ms >= 1 ? ms.toFixed(2) + ' ms' : (ms * 1e3).toFixed(1) + ' \u00b5s';
const share = (x) => x == null ? '-' : (100 * x).toFixed(x < 0.0995 ? 1 : 0) + '%';
const tail = (text, n) => text.length <= n ? text : '\u2026' + text.slice(text.length - n + 1);
const cut = (text, n) => text.length <= n ? text : text.slice(0, Math.ceil(n / 2) - 1) + '\u2026' + text.slice(text.length - Math.floor(n / 2));

// ---- What is derived from the data ------------------------------------------------------------

const isMeasured = data.totals.measured_ms != null;
const PRODUCTS = new Set(['dot', 'conv', 'winograd', 'conv_weights']);

/* A node of an ONNX file by its name and op, without the file. */
function place(location) {
  const found = /^.*?: node '(.*)'( \(.*\))?$/.exec(location);
  return found ? found[1] + (found[2] || '') : location;
}

/* The node that a kernel is known by: its product, else the first that computes something. */
function mainNode(k) {
  const located = k.nodes.filter((n) => n.locations.length);
  return located.find((n) => PRODUCTS.has(n.op)) || located.find((n) => !n.view) || located[0];
}

kernels.forEach((k, i) => {
  const main = mainNode(k);
  k.row = i;
  k.source = main ? place(main.locations[0]) : '';
  k.bytes = (k.bytes_read || 0) + (k.weight_bytes || 0) + (k.bytes_written || 0);
  k.each = isMeasured && k.part == 'run' ? k.measured_ms : k.predicted_ms;
  k.ms = (k.each || 0) * (k.calls == null ? 1 : k.calls);
  k.text = [k.name, '#' + k.number, k.class, k.title, k.function, k.bound, ...k.nodes.flatMap((n) => [n.op, n.type, ...n.locations.map(place)]),
    ...k.reads.concat(k.writes).map((v) => values[v].name)].join('\n').toLowerCase();
});

const CLASS_COLOURS = ['#3b7dd8', '#d9822b', '#2f9e6e', '#a259c4', '#c8504f', '#8a7a2b', '#2a9db0', '#c24f93', '#6b7686'];
const classes = [...new Set(kernels.map((k) => k.class))];
const colour = (name) => CLASS_COLOURS[classes.indexOf(name) % CLASS_COLOURS.length];

// ---- Groups: a tree by module path, class or function ---------------------------------------------

/* "/layer1/layer1.0/conv1/Conv" is a path; so is "model.layers.0.mlp.fc1"; a line of a file has the file and fifty lines. */
function modulePath(k) {
  const name = k.source.replace(/ \([^)]*\)$/, ''), line = /^(.*):(\d+)$/.exec(name);
  if (line) {
    const from = Math.floor((line[2] - 1) / 50) * 50;
    return [line[1], (k.function == 'main' ? '' : '@' + k.function + ', ') + 'lines ' + (from + 1) + ' to ' + (from + 50)];
  }
  const parts = name.split(name.includes('/') ? '/' : '.').filter((p) => p);
  return parts.slice(0, -1);
}
const groupings = {
  'module path': modulePath,
  'class': (k) => [k.class],
  'function': (k) => ['@' + k.function],
  'nothing': () => [],
};

const state = { tab: 'graph', selected: -1, group: 'nothing', folded: new Set(), sort: 'row', down: false, words: [], prepare: false };

const shown = () => kernels.filter((k) => k.part == 'run' || state.prepare);
const matches = (k) => state.words.every((w) => k.text.includes(w));

/* A group: its path, groups in it, its own kernels, and sums over all that it has. */
function tree() {
  const top = { name: '', path: '', groups: new Map(), kernels: [], all: [] };
  for (const k of shown()) {
    let at = top;
    for (const part of groupings[state.group](k)) {
      const path = at.path + '/' + part;
      if (!at.groups.has(part)) at.groups.set(part, { name: part, path, groups: new Map(), kernels: [], all: [] });
      at.all.push(k);
      at = at.groups.get(part);
    }
    at.all.push(k);
    at.kernels.push(k);
  }
  const join = (g) => { /* a group of one group is that one */
    for (const [name, inner] of [...g.groups]) {
      let only = inner;
      while (!only.kernels.length && only.groups.size == 1) {
        const next = [...only.groups.values()][0];
        only = { ...next, name: only.name + '/' + next.name };
      }
      if (only.all.length == 1) { /* and one of one kernel is that kernel */
        g.groups.delete(name);
        g.kernels.push(only.all[0]);
        continue;
      }
      g.groups.set(name, only);
      join(only);
    }
  };
  join(top);
  return top;
}
function paths(g, list) {
  for (const inner of g.groups.values()) { list.push(inner.path); paths(inner, list); }
  return list;
}
/* But for a group that is all there is. */
function foldAll() {
  const top = tree(), only = top.groups.size == 1 && !top.kernels.length ? [...top.groups.values()][0].path : null;
  paths(top, []).filter((p) => p != only).forEach((p) => state.folded.add(p));
}
const total = (list, key) => list.reduce((sum, k) => sum + (k[key] || 0), 0);

// ---- Table -------------------------------------------------------------------------------------

const COLUMNS = [
  { key: 'row', name: 'No.', of: (k) => k.number, group: (l) => l[0].row, show: () => '', tip: 'in the order in which they run' },
  { key: 'title', name: 'Kernel', words: true, tip: 'the ops that it does, and the node of the model that it is known by' },
  { key: 'class', name: 'Class', words: true, tip: 'how it is computed' },
  { key: 'ms', name: isMeasured ? 'Time' : 'Least time', cell: (k) => time(k.ms), group: (l) => total(l, 'ms'), show: time, tip: isMeasured ? 'measured, all calls of one run' : 'predicted: nothing was measured' },
  { key: 'share_of_time', name: 'Share', cell: (k) => share(k.share_of_time), group: (l) => total(l, 'share_of_time'), show: share, bar: true, tip: 'of the time of all kernels' },
  { key: 'predicted_ms', name: 'At least', cell: (k) => time(k.predicted_ms), group: (l) => total(l, 'predicted_ms'), show: time, tip: 'the least time that the machine allows' },
  { key: 'share_of_peak', name: 'Of peak', cell: (k) => share(k.share_of_peak), group: (l) => Math.max(...l.map((k) => k.share_of_peak || 0)), show: () => '', bar: true, tip: 'operations per second, as a share of the most that the machine does' },
  { key: 'flops', name: 'FLOP', cell: (k) => count(k.flops), group: (l) => total(l, 'flops'), show: count, tip: 'floating-point operations of one call' },
  { key: 'bytes', name: 'Bytes', cell: (k) => bytes(k.bytes), group: (l) => total(l, 'bytes'), show: bytes, tip: 'read and written by one call' },
  { key: 'intensity', name: 'FLOP/B', cell: (k) => k.intensity == null ? '-' : k.intensity.toFixed(k.intensity >= 100 ? 0 : 1), group: (l) => total(l, 'flops') / (total(l, 'bytes') || 1), show: (x) => x.toFixed(1), tip: 'operations for each byte: few mean that memory is what it waits for' },
  { key: 'bound', name: 'Bound by', words: true, tip: 'what keeps it from being faster' },
];

function compare(a, b) {
  if (a == null || b == null) return (a == null) - (b == null);
  return typeof a == 'string' ? a.localeCompare(b) : a - b;
}

/* Groups and kernels of a group, as the table is sorted. */
function entries(g) {
  const column = COLUMNS.find((c) => c.key == state.sort);
  const list = [...g.groups.values()].map((inner) => ({ group: inner, key: column.group ? column.group(inner.all) : inner.name }))
    .concat(g.kernels.map((k) => ({ kernel: k, key: k[state.sort] })));
  list.sort((x, y) => (state.down ? -1 : 1) * compare(x.key, y.key) || 0);
  return list;
}

function bar(x) { return el('i', { style: 'width:' + Math.min(92, 92 * Math.max(0, x || 0)).toFixed(1) + '%' }); }

function kernelRow(k, depth) {
  const cells = COLUMNS.map((c) => {
    if (c.key == 'title') return el('td', { class: 'words', style: 'padding-left:' + (9 + 18 * depth) + 'px', title: k.title + '\n' + k.source }, k.title, el('small', {}, tail(k.source || k.name, 46)));
    if (c.key == 'class') return el('td', { class: 'words' }, el('span', { class: 'class', style: 'border-color:' + colour(k.class) }, k.class));
    if (c.key == 'row') return el('td', {}, String(k.number) + (k.part == 'prepare' ? 'p' : ''));
    if (c.words) return el('td', { class: 'words' }, k[c.key]);
    return c.bar ? el('td', { class: 'share' }, bar(k[c.key]), el('b', {}, c.cell(k))) : el('td', {}, c.cell(k));
  });
  return el('tr', { tabindex: 0, 'data-row': k.row, class: k.row == state.selected ? 'selected' : null, onclick: () => select(k.row),
    onkeydown: (e) => { if (e.key == 'Enter' || e.key == ' ') { select(k.row); e.preventDefault(); } } }, cells);
}

function groupRow(g, depth) {
  const isFolded = state.folded.has(g.path);
  const toggle = () => { isFolded ? state.folded.delete(g.path) : state.folded.add(g.path); drawAll(); focusOn('[data-path="' + CSS.escape(g.path) + '"]'); };
  const cells = COLUMNS.map((c) => {
    if (c.key == 'title') return el('td', { class: 'words', style: 'padding-left:' + (9 + 18 * depth) + 'px' }, (isFolded ? '\u25b8 ' : '\u25be ') + g.name, el('small', {}, g.all.length + (g.all.length == 1 ? ' kernel' : ' kernels')));
    if (!c.group) return el('td', { class: 'words' }, '');
    const x = c.group(g.all);
    return c.bar && c.key == 'share_of_time' ? el('td', { class: 'share' }, bar(x), el('b', {}, c.show(x))) : el('td', {}, c.show(x));
  });
  return el('tr', { tabindex: 0, class: 'group', 'data-path': g.path, 'aria-expanded': String(!isFolded), onclick: toggle,
    onkeydown: (e) => { if (e.key == 'Enter' || e.key == ' ') { toggle(); e.preventDefault(); } } }, cells);
}

function drawTable() {
  const head = el('tr', {}, COLUMNS.map((c) => el('th', { class: c.words ? 'words' : null, title: c.tip,
    'aria-sort': state.sort != c.key ? 'none' : state.down ? 'descending' : 'ascending' },
  el('button', { 'data-key': c.key, onclick: () => sortBy(c) }, c.name + (state.sort == c.key ? (state.down ? ' \u2193' : ' \u2191') : '')))));
  const rows = [];
  const add = (g, depth) => {
    for (const e of entries(g)) {
      if (e.kernel) { if (matches(e.kernel)) rows.push(kernelRow(e.kernel, depth)); continue; }
      if (state.words.length && !e.group.all.some(matches)) continue;
      rows.push(groupRow(e.group, depth));
      if (!state.folded.has(e.group.path)) add(e.group, depth + 1);
    }
  };
  add(tree(), 0);
  const section = $('table');
  section.querySelector('thead').replaceChildren(head);
  section.querySelector('tbody').replaceChildren(...rows);
}

function sortBy(column) {
  if (state.sort == column.key) state.down = !state.down;
  else { state.sort = column.key; state.down = !column.words && column.key != 'row'; }
  drawTable();
  focusOn('thead [data-key="' + column.key + '"]');
}

// ---- Graph: units, layers, places --------------------------------------------------------------

const BOX = { width: 236, height: 70, gap: 26, between: 44, bend: 12 };

/* What is drawn as a box: kernels, folded groups, inputs and outputs. */
function units() {
  const list = [], of = new Map(), top = tree();
  const add = (g) => {
    for (const inner of g.groups.values()) {
      if (!state.folded.has(inner.path)) { add(inner); continue; }
      const u = { group: inner, first: inner.all[0].row };
      inner.all.forEach((k) => of.set(k.row, u));
      list.push(u);
    }
    for (const k of g.kernels) { const u = { kernel: k, first: k.row }; of.set(k.row, u); list.push(u); }
  };
  add(top);
  const inputs = new Map(), edges = new Map();
  for (const [from, to, value] of data.edges) {
    const isShown = values[value].part == 'run' || state.prepare;
    if (!isShown) continue;
    let a = of.get(from), b = of.get(to);
    if (from < 0) {
      if (!inputs.has(value)) inputs.set(value, { port: value, first: -1, isInput: true });
      a = inputs.get(value);
    }
    if (to < 0) { b = { port: value, first: 1e9 }; list.push(b); }
    if (!a || !b || a == b) continue;
    if (!edges.has(a)) edges.set(a, new Map());
    if (!edges.get(a).has(b)) edges.get(a).set(b, { from: a, to: b, values: [] });
    edges.get(a).get(b).values.push(value);
  }
  list.push(...inputs.values());
  list.sort((a, b) => a.first - b.first);
  const all = [...edges.values()].flatMap((m) => [...m.values()]);
  return { list, edges: all.filter((e) => e.from.first <= e.to.first), back: all.filter((e) => e.from.first > e.to.first) };
}

/* Each unit one layer below the lowest that it reads from; inputs right above their first reader. */
function layer(list, edges) {
  const into = new Map(list.map((u) => [u, []])), out = new Map(list.map((u) => [u, []]));
  edges.forEach((e) => { into.get(e.to).push(e); out.get(e.from).push(e); });
  for (const u of list) u.layer = Math.max(0, ...into.get(u).map((e) => e.from.layer + 1));
  for (const u of list) if (u.isInput) u.layer = Math.max(0, Math.min(...out.get(u).map((e) => e.to.layer)) - 1);
}

/* Items of each layer, with one of no width for each layer that an edge passes. */
function layersOf(list, edges) {
  const layers = [];
  const put = (item, at) => { (layers[at] = layers[at] || []).push(item); };
  const item = (width) => ({ width, up: [], down: [], x: 0 });
  list.forEach((u) => { u.item = item(BOX.width); u.item.unit = u; put(u.item, u.layer); });
  const link = (a, b) => { a.down.push(b); b.up.push(a); };
  const isDense = edges.reduce((n, e) => n + e.to.layer - e.from.layer, 0) > 4000;
  for (const e of edges) {
    e.bends = [];
    e.isFar = isDense && e.to.layer - e.from.layer > 4; /* past the others, not between them */
    if (e.isFar) continue;
    let last = e.from.item;
    for (let l = e.from.layer + 1; l < e.to.layer; l++) {
      const bend = item(BOX.bend);
      put(bend, l);
      link(last, bend);
      e.bends.push(bend);
      last = bend;
    }
    link(last, e.to.item);
  }
  return layers.map((l) => l || []);
}

/* Places near the means of the neighbours', in order, no two too near: neighbours that are in each other's way move as one. */
function settle(layer, side) {
  let at = 0;
  const blocks = [];
  for (const i of layer) {
    const near = i[side], wanted = near.length ? near.reduce((s, n) => s + n.x, 0) / near.length : i.x;
    i.offset = at + i.width / 2;
    at += i.width + (i.unit ? BOX.gap : 4);
    let block = { sum: wanted - i.offset, n: 1, items: [i] };
    while (blocks.length && blocks[blocks.length - 1].sum / blocks[blocks.length - 1].n > block.sum / block.n) {
      const former = blocks.pop();
      block = { sum: former.sum + block.sum, n: former.n + block.n, items: former.items.concat(block.items) };
    }
    blocks.push(block);
  }
  for (const b of blocks) for (const i of b.items) i.x = b.sum / b.n + i.offset;
}

function order(layers) {
  layers.forEach((l) => l.forEach((i, n) => { i.rank = n; }));
  const sweep = (l, side) => {
    for (const i of l) i.key = i[side].length ? i[side].reduce((s, n) => s + n.rank, 0) / i[side].length : i.rank;
    l.sort((a, b) => a.key - b.key);
    l.forEach((i, n) => { i.rank = n; });
  };
  for (let round = 0; round < 6; round++) {
    for (const l of layers) sweep(l, 'up');
    for (const l of [...layers].reverse()) sweep(l, 'down');
  }
  for (const l of layers) sweep(l, 'up');
  for (let round = 0; round < 6; round++) {
    for (const l of layers) settle(l, 'up');
    for (const l of [...layers].reverse()) settle(l, 'down');
  }
}

let drawing = null; /* units, edges, extent */
function layOut() {
  const { list, edges, back } = units();
  layer(list, edges);
  const layers = layersOf(list, edges);
  order(layers);
  const step = BOX.height + BOX.between;
  let left = Infinity, right = -Infinity;
  list.forEach((u) => {
    u.x = u.item.x; u.y = u.layer * step + BOX.height / 2;
    left = Math.min(left, u.x - BOX.width / 2); right = Math.max(right, u.x + BOX.width / 2);
  });
  edges.filter((e) => !e.isFar).forEach((e) => {
    e.points = [[e.from.x, e.from.y + BOX.height / 2], ...e.bends.map((b, i) => [b.x, (e.from.layer + 1 + i) * step + BOX.height / 2]), [e.to.x, e.to.y - BOX.height / 2 - 4]];
    e.bends.forEach((b) => { left = Math.min(left, b.x); right = Math.max(right, b.x); });
  });
  back.forEach((e) => { e.isBack = true; right = Math.max(right, Math.max(e.from.x, e.to.x) + BOX.width / 2 + 40); });
  if (!list.length) left = right = 0;
  drawing = { back, list, edges, left, right, top: 0, bottom: Math.max(1, layers.length) * step - BOX.between };
}

/* Past all others: from a folded group back to one above it, or far down in a dense graph. */
function curvePast(e) {
  const x0 = e.from.x + BOX.width / 2, x1 = e.to.x + BOX.width / 2 + 4, out = Math.max(x0, x1) + 40 + Math.abs(e.to.y - e.from.y) / 12;
  return 'M' + x0 + ' ' + e.from.y + ' C' + out + ' ' + e.from.y + ' ' + out + ' ' + e.to.y + ' ' + x1 + ' ' + e.to.y;
}

function curve(points) {
  let d = 'M' + points[0][0].toFixed(1) + ' ' + points[0][1].toFixed(1);
  for (let i = 1; i < points.length; i++) {
    const [x0, y0] = points[i - 1], [x1, y1] = points[i], half = (y1 - y0) / 2;
    d += ' C' + x0.toFixed(1) + ' ' + (y0 + half).toFixed(1) + ' ' + x1.toFixed(1) + ' ' + (y1 - half).toFixed(1) + ' ' + x1.toFixed(1) + ' ' + y1.toFixed(1);
  }
  return d;
}

// ---- Graph: drawing ----------------------------------------------------------------------------

const view = { x: 0, y: 0, scale: 1 };

function box(u) {
  const w = BOX.width, h = BOX.height, k = u.kernel, list = k ? [k] : u.group ? u.group.all : [];
  const isFound = !state.words.length || list.some(matches) || (u.port != null && state.words.every((s) => values[u.port].name.toLowerCase().includes(s)));
  const part = total(list, 'share_of_time');
  const texts = u.port != null ? [cut(values[u.port].name, 27), cut(values[u.port].type, 31), bytes(values[u.port].bytes) + (u.isInput ? ', input' : ', output')]
    : k ? [cut(k.title, 27), tail(k.source, 31), k.class + ' \u00b7 ' + time(k.ms) + ' \u00b7 ' + share(part)]
      : [tail(u.group.name, 27), list.length + (list.length == 1 ? ' kernel' : ' kernels') + ', click to unfold', time(total(list, 'ms')) + ' \u00b7 ' + share(part)];
  const name = u.port != null ? (u.isInput ? 'input ' : 'output ') + values[u.port].name : k ? k.title + ', ' + k.source : 'group ' + u.group.name;
  const act = () => { if (k) select(k.row); else if (u.group) { state.folded.delete(u.group.path); drawAll(); } };
  return svg('g', { class: 'node' + (u.group ? ' group' : '') + (u.port != null ? ' port' : '') + (isFound ? '' : ' dimmed'),
    'data-row': k ? k.row : null, transform: 'translate(' + (u.x - w / 2).toFixed(1) + ' ' + (u.y - h / 2).toFixed(1) + ')',
    role: u.port != null ? null : 'button', tabindex: u.port != null ? null : -1, 'aria-label': name, onclick: act,
    onkeydown: (e) => { if (e.key == 'Enter') { act(); e.stopPropagation(); } } },
  svg('title', {}, k ? k.title + '\n' + k.source : name),
  svg('rect', { class: 'box', width: w, height: h, rx: 7 }),
  u.port == null ? svg('rect', { class: 'bar', x: 6, y: h - 8, height: 4, rx: 2, width: Math.max(1, (w - 12) * Math.min(1, part / drawing.most)).toFixed(1) }) : null,
  svg('rect', { width: 5, height: h, rx: 2.5, fill: k ? colour(k.class) : u.group ? 'var(--faint)' : 'none' }),
  texts.map((t, i) => svg('text', { x: 14, y: 19 + 17 * i, class: i ? 'small' : null }, t)));
}

function drawGraph() {
  layOut();
  drawing.most = Math.max(1e-9, ...drawing.list.map((u) => total(u.kernel ? [u.kernel] : u.group ? u.group.all : [], 'share_of_time')));
  const edges = drawing.edges.concat(drawing.back).map((e) => {
    const past = e.isBack || e.isFar;
    const size = Math.max(...e.values.map((v) => values[v].bytes || 1));
    return e.path = svg('path', { class: 'edge' + (past ? ' past' : ''), d: past ? curvePast(e) : curve(e.points), 'stroke-width': (1 + Math.max(0, Math.log10(size) - 3) * 0.5).toFixed(1), 'marker-end': 'url(#arrow)' },
      svg('title', {}, e.values.map((v) => values[v].name + ': ' + values[v].type + ', ' + bytes(values[v].bytes)).join('\n')));
  });
  const arrow = svg('defs', {}, svg('marker', { id: 'arrow', viewBox: '0 0 8 8', refX: 5, refY: 4, markerWidth: 7, markerHeight: 7, markerUnits: 'userSpaceOnUse', orient: 'auto' }, svg('path', { class: 'arrow', d: 'M0 0 L8 4 L0 8 z' })));
  $('canvas').replaceChildren(arrow, svg('g', { id: 'scene' }, edges, drawing.list.map((u) => u.box = box(u))));
  drawMap();
  mark();
  look();
}

/* What is selected, and the values that it reads and writes. */
function mark() {
  const isSelected = (u) => u.kernel != null && u.kernel.row == state.selected;
  drawing.list.forEach((u) => u.box.classList.toggle('selected', isSelected(u)));
  drawing.edges.concat(drawing.back).forEach((e) => e.path.classList.toggle('near', isSelected(e.from) || isSelected(e.to)));
}

function drawMap() {
  const d = drawing, pad = 40;
  const map = $('map');
  map.setAttribute('viewBox', [d.left - pad, d.top - pad, d.right - d.left + 2 * pad, d.bottom - d.top + 2 * pad].join(' '));
  map.replaceChildren(...d.list.map((u) => svg('rect', { x: u.x - BOX.width / 2, y: u.y - BOX.height / 2, width: BOX.width, height: BOX.height, fill: u.kernel ? colour(u.kernel.class) : 'var(--faint)', class: u.kernel && !matches(u.kernel) ? 'dimmed' : null })), svg('rect', { class: 'view' }));
}

/* Moves scene and map to where the view is. */
function look() {
  const scene = $('scene'), size = $('canvas').getBoundingClientRect();
  if (!scene) return;
  scene.setAttribute('transform', 'translate(' + view.x + ' ' + view.y + ') scale(' + view.scale + ')');
  const frame = $('map').querySelector('.view');
  fill(frame, { x: -view.x / view.scale, y: -view.y / view.scale, width: size.width / view.scale, height: size.height / view.scale }, []);
}
function zoom(factor, x, y) {
  const size = $('canvas').getBoundingClientRect();
  if (x == null) { x = size.width / 2; y = size.height / 2; }
  const scale = Math.min(3, Math.max(0.02, view.scale * factor));
  view.x = x - (x - view.x) * scale / view.scale;
  view.y = y - (y - view.y) * scale / view.scale;
  view.scale = scale;
  look();
}
function centre(x, y) {
  const size = $('canvas').getBoundingClientRect();
  view.x = size.width / 2 - x * view.scale;
  view.y = size.height / 2 - y * view.scale;
  look();
}
/* All of it; or, where that were too small to read, its beginning. */
function fit(all) {
  const size = $('canvas').getBoundingClientRect(), d = drawing, pad = 24;
  const scale = Math.min((size.width - 2 * pad) / (d.right - d.left), (size.height - 2 * pad) / (d.bottom - d.top), 1.1);
  view.scale = all ? Math.max(0.02, scale) : Math.max(scale, 0.92);
  const first = d.list.find((u) => u.kernel || u.group);
  view.x = (scale >= view.scale || !first ? size.width / 2 - (d.left + d.right) / 2 * view.scale : size.width / 2 - first.x * view.scale);
  view.y = scale >= view.scale ? (size.height - (d.bottom - d.top) * view.scale) / 2 : pad + 30;
  look();
}

function listenToGraph() {
  const canvas = $('canvas'), map = $('map');
  let from = null;
  canvas.addEventListener('wheel', (e) => {
    const at = canvas.getBoundingClientRect();
    e.preventDefault();
    if (e.ctrlKey || !e.shiftKey) zoom(Math.exp(-e.deltaY * 0.0015), e.clientX - at.left, e.clientY - at.top);
    else { view.x -= e.deltaY; look(); }
  }, { passive: false });
  canvas.addEventListener('pointerdown', (e) => { from = { x: e.clientX - view.x, y: e.clientY - view.y }; });
  canvas.addEventListener('pointermove', (e) => {
    if (!from || !e.buttons) { from = null; canvas.classList.remove('moving'); return; }
    canvas.classList.add('moving');
    view.x = e.clientX - from.x; view.y = e.clientY - from.y;
    look();
  });
  canvas.addEventListener('pointerup', () => { from = null; canvas.classList.remove('moving'); });
  canvas.addEventListener('keydown', (e) => {
    const moves = { ArrowLeft: [80, 0], ArrowRight: [-80, 0], ArrowUp: [0, 80], ArrowDown: [0, -80] };
    if (moves[e.key]) { view.x += moves[e.key][0]; view.y += moves[e.key][1]; look(); }
    else if (e.key == '+' || e.key == '=') zoom(1.25);
    else if (e.key == '-') zoom(0.8);
    else if (e.key == '0') fit(true);
    else if (e.key == 'n' || e.key == 'p') { step(e.key == 'n' ? 1 : -1); }
    else return;
    e.preventDefault();
  });
  const jump = (e) => {
    const at = new DOMPoint(e.clientX, e.clientY).matrixTransform(map.getScreenCTM().inverse());
    centre(at.x, at.y);
  };
  map.addEventListener('pointerdown', jump);
  map.addEventListener('pointermove', (e) => { if (e.buttons) jump(e); });
  $('zoom-in').addEventListener('click', () => zoom(1.25));
  $('zoom-out').addEventListener('click', () => zoom(0.8));
  $('zoom-fit').addEventListener('click', () => fit(true));
}

/* The next or the last kernel that the search finds. */
function step(by) {
  const list = shown().filter(matches), at = list.findIndex((k) => k.row == state.selected);
  const next = list[at < 0 ? 0 : Math.min(list.length - 1, Math.max(0, at + by))];
  if (next) select(next.row);
}

// ---- Memory -------------------------------------------------------------------------------------

function drawArena() {
  const part = state.prepare && state.arenaPart == 'prepare' ? 'prepare' : 'run';
  const list = data.arena.filter((b) => b.part == part), own = kernels.filter((k) => k.part == part);
  const section = $('arena');
  const intro = el('p', {}, 'Values between kernels share one buffer, the arena. Each rectangle is a value: from left to right the kernels that run while it is needed, from bottom to top the bytes that it takes. A good plan leaves few gaps.');
  if (!list.length || !own.length) {
    section.replaceChildren(intro, el('p', {}, 'This program keeps nothing in the arena: what its kernels make goes straight to its outputs.'));
    return;
  }
  const first = own[0].row, n = own.length, top = Math.max(...list.map((b) => b.offset + b.bytes));
  const width = Math.max(520, section.clientWidth - 40), height = Math.max(320, section.clientHeight - 140), left = 76, bottom = 44;
  const inner = width - left - 10, x = (row) => left + (row - first) / n * inner, y = (at) => 8 + (height - bottom - 8) * (1 - at / top);
  const lines = [0, 0.25, 0.5, 0.75, 1].map((p) => svg('g', {}, svg('line', { class: 'grid', x1: left, x2: width - 10, y1: y(p * top), y2: y(p * top) }), svg('text', { class: 'axis', x: left - 8, y: y(p * top) + 4, 'text-anchor': 'end' }, bytes(p * top))));
  const every = Math.max(1, Math.ceil(n / (inner / 46)));
  const numbers = own.filter((_, i) => i % every == 0).map((k) => svg('text', { class: 'axis', x: x(k.row + 0.5), y: height - 26, 'text-anchor': 'middle' }, String(k.number)));
  const blocks = list.map((b, i) => {
    const w = x(b.last + 1) - x(b.first), h = y(b.offset) - y(b.offset + b.bytes), hue = (i * 67) % 360;
    const text = b.what + '\n' + (b.value == null ? '' : values[b.value].type + ', ') + bytes(b.bytes) + ' at ' + bytes(b.offset) + '\nfrom kernel ' + kernels[b.first].number + ' (' + cut(kernels[b.first].title, 40) + ') to kernel ' + kernels[b.last].number;
    const near = state.selected >= b.first && state.selected <= b.last;
    return svg('g', { class: near || state.selected < 0 ? null : 'dimmed' },
      svg('rect', { class: 'block', tabindex: -1, 'data-block': i, x: x(b.first).toFixed(1), y: y(b.offset + b.bytes).toFixed(1), width: Math.max(1, w).toFixed(1), height: Math.max(1, h).toFixed(1), fill: 'hsl(' + hue + ' 55% 68%)', onclick: () => select(b.first), onpointermove: (e) => tip(e, text), onpointerleave: () => tip() }),
      w > 60 && h > 15 ? svg('text', { class: 'name', x: (x(b.first) + 5).toFixed(1), y: (y(b.offset + b.bytes) + 13).toFixed(1) }, cut(b.what, Math.floor(w / 7))) : null);
  });
  section.replaceChildren(intro,
    svg('svg', { width, height, role: 'img', 'aria-label': list.length + ' values in an arena of ' + bytes(top) }, lines, blocks, numbers,
      svg('text', { class: 'axis', x: left + inner / 2, y: height - 6, 'text-anchor': 'middle' }, 'kernels, by number, in the order in which they run')),
    el('p', {}, list.length + ' values; ' + bytes(data.totals.arena_bytes) + ' in all' + (data.totals.live_bytes == null ? '' : ', of which at most ' + bytes(data.totals.live_bytes) + ' are in use at once') + '. Hover for names and sizes; click to see the kernel that makes a value.'));
}

function tip(e, text) {
  const t = $('tip');
  t.hidden = !e;
  if (!e) return;
  t.textContent = text;
  const right = e.clientX + 14 + t.offsetWidth > innerWidth;
  t.style.left = (right ? e.clientX - 14 - t.offsetWidth : e.clientX + 14) + 'px';
  t.style.top = Math.min(e.clientY + 14, innerHeight - t.offsetHeight - 6) + 'px';
}

// ---- Compilation -----------------------------------------------------------------------------------

function rows(head, list) {
  return el('table', {}, el('tbody', {}, el('tr', {}, head.map((h) => el('th', {}, h))), list.map((cells) => el('tr', {}, cells.map((c) => el('td', {}, c))))));
}
function drawWhole() {
  const t = data.totals, all = data.stages.reduce((sum, s) => sum + s.ms, 0);
  const parts = [
    el('h3', {}, 'Inputs and outputs'), rows(['Name', 'Type', 'Bytes'], data.inputs.concat(data.outputs).map((v) => [v.name + (v.place == 'output' ? ' (output)' : ''), v.type, bytes(v.bytes)])),
    data.symbols.length ? [el('h3', {}, 'Sizes that are not fixed'), rows(['Symbol', 'Figures are for', 'Allowed'], data.symbols.map((s) => [s.name, String(s.value), 'from ' + s.lower + (s.upper == null ? '' : ' to ' + s.upper) + (s.divisor > 1 ? ', multiples of ' + s.divisor : '')]))] : null,
    data.constraints.length ? [el('h3', {}, 'What sizes have to fulfil'), el('ul', {}, data.constraints.map((c) => el('li', {}, c)))] : null,
    el('h3', {}, 'Stages of the compilation'), rows(['Stage', 'Time', 'Share'], data.stages.map((s) => [s.name, time(s.ms), share(s.ms / all)]).concat([['all', time(all), '']])),
    el('h3', {}, 'Bytes'), rows(['What', 'Bytes'], [['weights as given', bytes(t.raw_weight_bytes)], ['weights as packed for the kernels', bytes(t.packed_weight_bytes)], ['code', bytes(t.code_bytes)], ['arena: values between kernels', bytes(t.arena_bytes)], ['scratch of each thread', bytes(t.scratch_bytes)]]),
    el('h3', {}, 'The machine'), rows(['Limit', 'Measured'], [[data.machine.threads + ' thread' + (data.machine.threads == 1 ? '' : 's') + ', multiply-adds of f32', flop(data.machine.flops_per_second) + '/s']].concat(data.machine.bandwidth.map((l) => ['loops over ' + bytes(l.bytes), count(l.bytes_per_second) + 'B/s']))),
    el('p', {}, data.version + '; target ' + data.target + (data.cut ? '. Functions that are called from several places are shown once.' : '')),
  ];
  const list = parts.flat().filter((p) => p), blocks = [];
  for (const p of list) {
    if (p.tagName == 'H3' || !blocks.length) blocks.push(el('div', { class: 'part' }));
    blocks[blocks.length - 1].append(p);
  }
  $('whole').replaceChildren(...blocks);
}

// ---- Details -----------------------------------------------------------------------------------------

const LEGEND = [
  ['Kernel', 'One piece of compiled code. It does several nodes of the model at once, so that what is between them never goes through memory.'],
  ['Class', 'How a kernel is computed: contract (a matrix product), conv and winograd (convolutions), reduce (sums along rows), map (element by element), window (pooling), ...'],
  [isMeasured ? 'Time' : 'Least time', isMeasured ? 'The lower quartile of ' + data.totals.runs + ' runs on ' + data.machine.threads + ' thread' + (data.machine.threads == 1 ? '' : 's') + ' of this machine.' : 'Predicted: nothing was measured.'],
  ['At least', 'The least time that this machine allows: operations at its fastest multiply-adds, or bytes at its fastest memory, whichever takes longer. A kernel near it cannot be made much faster.'],
  ['Of peak', 'Operations per second as a share of the most that the machine does. Above 100% where an algorithm (Winograd) needs fewer operations than are counted.'],
  ['FLOP, bytes, FLOP/B', 'Floating-point operations, bytes read and written, and how many of the one for each of the other. Few operations for a byte: memory is what the kernel waits for.'],
  ['Weight packing', 'Kernels that run once when the program is loaded and lay out weights as the others read them.'],
];

const valueLine = (v) => el('li', {}, values[v].name + ': ' + values[v].type + ', ' + bytes(values[v].bytes) + ' ', el('span', { class: 'faint' }, values[v].place));
const kernelLink = (k) => el('button', { class: 'link', onclick: () => select(k.row) }, k.title + (k.source ? ' (' + cut(k.source, 40) + ')' : ''));

function neighbours(k, isBefore) {
  const near = new Set(data.edges.filter((e) => e[isBefore ? 1 : 0] == k.row).map((e) => e[isBefore ? 0 : 1]).filter((r) => r >= 0));
  return near.size ? [el('h3', {}, isBefore ? 'Reads what these make' : 'Read by'), el('ul', {}, [...near].slice(0, 12).map((r) => el('li', {}, kernelLink(kernels[r]))), near.size > 12 ? el('li', { class: 'faint' }, 'and ' + (near.size - 12) + ' more') : null)] : [];
}

function pairs(list) { return el('div', { class: 'pairs' }, list.filter((p) => p).flatMap(([a, b]) => [el('span', {}, a), el('span', {}, b)])); }

function drawDetails() {
  const k = kernels[state.selected], pane = $('details');
  if (!k) {
    pane.replaceChildren(el('h2', {}, 'How to read this page'),
      el('p', {}, 'Click a kernel in the graph or the table to see what it does, where it comes from and why it was built so. Keys: n and p go to the next kernel and the one before, / searches, Escape closes.'),
      el('dl', {}, LEGEND.flatMap(([a, b]) => [el('dt', {}, a), el('dd', {}, b)])));
    return;
  }
  const nodes = k.nodes.filter((n) => !n.view), list = nodes.length ? nodes : k.nodes;
  const others = k.nodes.length - list.length;
  pane.replaceChildren(...[
    el('button', { class: 'close', title: 'Close (Escape)', onclick: () => select(-1) }, '\u00d7'),
    el('h2', {}, k.title),
    el('p', { class: 'faint' }, 'Kernel ' + k.number + (k.part == 'prepare' ? ' of weight packing' : '') + ', ' + k.name + ', class ' + k.class + (k.function == 'main' || k.function == 'prepare' ? '' : ', in @' + k.function)),
    pairs([
      k.measured_ms != null ? ['Measured', time(k.measured_ms)] : null,
      ['At least', time(k.predicted_ms) + (k.bound == 'unknown' ? '' : ' (' + k.bound + ')')],
      ['Share of all kernels', share(k.share_of_time)],
      k.share_of_peak != null ? ['Of the machine\u2019s peak', share(k.share_of_peak)] : null,
      k.calls != 1 ? ['Calls in a run', k.calls == null ? 'known when it runs' : String(+k.calls.toFixed(2))] : null,
      ['Operations', flop(k.flops)], ['Reads', bytes(k.bytes_read)], ['Reads weights', bytes(k.weight_bytes)], ['Writes', bytes(k.bytes_written)],
      k.temporary_bytes ? ['Temporaries', bytes(k.temporary_bytes)] : null,
      ['Operations for a byte', k.intensity == null ? '-' : k.intensity.toFixed(1)]]),
    el('h3', {}, 'Why it is built so'), k.notes.length ? el('ul', {}, k.notes.map((n) => el('li', {}, n))) : el('p', { class: 'faint' }, 'Nothing was noted.'),
    el('h3', {}, 'Nodes of the model in it'),
    ...list.map((n) => el('div', { class: 'op' }, el('b', {}, n.op), el('span', {}, n.type), n.locations.length ? el('span', { class: 'from' }, n.locations.map(place).join(', ')) : null)),
    others ? el('p', { class: 'faint' }, 'and ' + others + (others == 1 ? ' view or constant' : ' views and constants') + ', which cost nothing') : null,
    el('h3', {}, 'Reads'), el('ul', {}, k.reads.map(valueLine)), el('h3', {}, 'Writes'), el('ul', {}, k.writes.map(valueLine)),
    ...neighbours(k, true), ...neighbours(k, false),
  ].filter((p) => p));
  pane.scrollTop = 0;
}

// ---- State ------------------------------------------------------------------------------------------

function focusOn(selector) { const e = document.querySelector(selector); if (e) e.focus(); }

/* What depends on the selection alone is marked, not drawn anew. */
function select(row) {
  state.selected = row;
  drawDetails();
  document.querySelectorAll('tbody tr[data-row]').forEach((r) => r.classList.toggle('selected', +r.dataset.row == row));
  mark();
  if (state.tab == 'arena') drawArena();
  const unit = drawing.list.find((u) => u.kernel && u.kernel.row == row), size = $('canvas').getBoundingClientRect();
  if (!unit || state.tab != 'graph') return;
  const x = unit.x * view.scale + view.x, y = unit.y * view.scale + view.y;
  if (x < 60 || y < 60 || x > size.width - 160 || y > size.height - 60) centre(unit.x, unit.y);
}

function show(tab) {
  state.tab = tab;
  document.querySelectorAll('[role=tab]').forEach((t) => {
    const isOn = t.getAttribute('aria-controls') == tab;
    t.setAttribute('aria-selected', isOn);
    t.tabIndex = isOn ? 0 : -1;
    $(t.getAttribute('aria-controls')).hidden = !isOn;
  });
  const isGrouped = tab == 'graph' || tab == 'table';
  $('grouping').hidden = !isGrouped;
  $('folding').hidden = !isGrouped || state.group == 'nothing';
  if (tab == 'table') drawTable();
  if (tab == 'arena') drawArena();
  if (tab == 'whole') drawWhole();
  if (tab == 'graph' && drawing) look();
}

function drawAll() {
  if (state.tab == 'table') drawTable();
  drawGraph();
  if (state.tab == 'arena') drawArena();
  const list = shown(), n = list.filter(matches).length;
  $('found').textContent = state.words.length ? n + ' of ' + list.length : '';
}

function card(value, what, title) { return el('div', { class: 'card', title }, el('b', {}, value), el('span', {}, what)); }

function begin() {
  const t = data.totals, run = kernels.filter((k) => k.part == 'run'), packing = kernels.length - run.length;
  $('name').querySelector('h1').textContent = data.name || 'model';
  $('name').querySelector('p').textContent = data.version + (data.symbols.length ? '; ' + data.symbols.map((s) => s.name + ' = ' + s.value).join(', ') : '');
  $('cards').append(...[
    isMeasured ? card(time(t.measured_ms), 'measured, a run', time(t.kernels_ms) + ' of it in kernels; lower quartiles of ' + t.runs + ' runs') : null,
    card(time(t.predicted_ms), 'at least, on this machine', 'the sum of the least times of all kernels'),
    isMeasured ? card(share(t.flops / t.measured_ms * 1e3 / data.machine.flops_per_second), 'of peak', 'of ' + count(data.machine.flops_per_second) + 'FLOP/s on ' + data.machine.threads + ' thread(s)') : null,
    card(flop(t.flops), 'operations'), card(bytes(t.bytes), 'moved'), card(String(run.length), 'kernels'),
    card(bytes(t.packed_weight_bytes), 'weights'), card(bytes(t.arena_bytes), 'arena')].filter((c) => c));
  const group = $('group');
  for (const name of Object.keys(groupings)) group.append(el('option', { value: name }, name));
  const depth = new Set(run.map((k) => modulePath(k).join('/'))).size;
  state.group = depth > 1 ? 'module path' : 'nothing';
  group.value = state.group;
  if (run.length > 600) foldAll();
  $('with-prepare').hidden = packing == 0;
  $('with-prepare').title = packing + ' kernels that run once, when the program is loaded';

  group.addEventListener('change', () => { state.group = group.value; state.folded.clear(); drawAll(); show(state.tab); fit(false); });
  $('fold').addEventListener('click', () => { foldAll(); drawAll(); fit(false); });
  $('unfold').addEventListener('click', () => { state.folded.clear(); drawAll(); fit(false); });
  $('prepare').addEventListener('change', (e) => { state.prepare = e.target.checked; drawAll(); fit(false); });
  $('search').addEventListener('input', (e) => {
    state.words = e.target.value.toLowerCase().split(/\s+/).filter((w) => w);
    drawAll();
    const first = state.words.length ? drawing.list.find((u) => (u.kernel ? [u.kernel] : u.group ? u.group.all : []).some(matches)) : null;
    if (first && state.tab == 'graph') centre(first.x, first.y);
  });
  const tabs = [...document.querySelectorAll('[role=tab]')];
  tabs.forEach((b, i) => {
    b.addEventListener('click', () => show(b.getAttribute('aria-controls')));
    b.addEventListener('keydown', (e) => {
      const by = e.key == 'ArrowRight' ? 1 : e.key == 'ArrowLeft' ? -1 : 0;
      if (by) { const next = tabs[(i + by + tabs.length) % tabs.length]; show(next.getAttribute('aria-controls')); next.focus(); }
    });
  });
  $('table').addEventListener('keydown', (e) => {
    const row = e.target.closest('tbody tr'), next = row && (e.key == 'ArrowDown' ? row.nextElementSibling : e.key == 'ArrowUp' ? row.previousElementSibling : null);
    if (next) { next.focus(); e.preventDefault(); }
  });
  document.addEventListener('keydown', (e) => {
    const isTyping = /INPUT|SELECT/.test(e.target.tagName);
    if (e.key == '/' && !isTyping) { $('search').focus(); e.preventDefault(); }
    if (e.key == 'Escape') select(-1);
    if ((e.key == 'n' || e.key == 'p') && !isTyping && e.target != $('canvas')) step(e.key == 'n' ? 1 : -1);
  });
  addEventListener('resize', () => { look(); if (state.tab == 'arena') drawArena(); });
  listenToGraph();
  drawDetails();
  show('graph');
  drawAll();
  fit(false);
}
begin();
