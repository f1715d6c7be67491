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

// ---- Elements --------------------------------------------------------------------------------------------

function fill(e, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {}))
    if (key.startsWith('on')) e.addEventListener(key.slice(2), value);
    else if (value !== false && value != null) e.setAttribute(key, value === true ? '' : value);
  for (const child of children.flat())
    if (child != null) e.append(child);
  return e;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
    fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);

// ---- Figures ---------------------------------------------------------------------------------------------

function scaled(x, step, units) {
  if (x == null) return '?';
  let unit = 0;
  while (unit < units.length - 1 && x >= step * 0.9995) {
    x /= step;
    unit++;
  }
  return x.toFixed(x >= 100 || unit == 0 ? 0 : x >= 10 ? 1 : 2) + ' ' + units[unit];
}
const count = (x) => scaled(x, 1000, ['', 'k', 'M', 'G', 'T']).trim();
const flop = (x) => scaled(x, 1000, ['', 'k', 'M', 'G', 'T']) + 'FLOP';
const bytes = (x) => scaled(x, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']);
const time = (ms) => ms == null ? '-'
    : ms >= 100                 ? ms.toFixed(0) + ' ms'
    : ms >= 10                  ? ms.toFixed(1) + ' ms'
    : ms >= 1                   ? ms.toFixed(2) + ' ms'
    : ms < 1e-3                 ? (ms * 1e6).toFixed(0) + ' ns'
                                : (ms * 1e3).toFixed(1) + ' \u00b5s';
const share = (x) => x == null ? '-' : (100 * x).toFixed(x < 0.0995 ? 1 : 0) + '%';
const tail = (text, n) => text.length <= n ? text : '\u2026' + text.slice(text.length - n + 1);
const cut = (text, n) => text.length <= n
    ? text
    : text.slice(0, Math.ceil(n / 2) - 1) + '\u2026' + text.slice(text.length - Math.floor(n / 2));

// ---- What is derived from the data -----------------------------------------------------------------------

const isMeasured = data.totals.measured_ms != null;
const threads = () => data.machine.threads + (data.machine.threads == 1 ? ' thread' : ' threads');
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
  k.text = [
    k.name, '#' + k.number, k.class, k.title, k.function, k.bound,
    ...k.nodes.flatMap((n) => [n.op, n.type, ...n.locations.map(place)]),
    ...k.reads.concat(k.writes).map((v) => values[v].name)
  ].join('\n').toLowerCase();
});

const CLASS_COLOURS =
    ['#3b7dd8', '#d9822b', '#2f9e6e', '#a259c4', '#c8504f', '#8a7a2b', '#2a9db0', '#c24f93', '#6b7686'];
const classes = [...new Set(kernels.map((k) => k.class))];
const colour = (name) => CLASS_COLOURS[classes.indexOf(name) % CLASS_COLOURS.length];

// ---- Groups: a tree by module path, class or function ----------------------------------------------------

/* "/layer1/layer1.0/conv1/Conv" is a path; so is "model.layers.0.mlp.fc1"; a line of a file has the file and fifty
 * lines. */
function modulePath(k) {
  const name = k.source.replace(/ \([^)]*\)$/, ''), line = /^(.*):(\d+)$/.exec(name);
  if (line) {
    const from = Math.floor((line[2] - 1) / 50) * 50;
    return [
      line[1], (k.function == 'main' ? '' : '@' + k.function + ', ') + 'lines ' + (from + 1) + ' to ' + (from + 50)
    ];
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

const state = {
  tab: 'graph',
  selected: -1,
  group: 'nothing',
  folded: new Set(),
  sort: 'row',
  down: false,
  words: [],
  prepare: false
};

const shown = () => kernels.filter((k) => k.part == 'run' || state.prepare);
const matches = (k) => state.words.every((w) => k.text.includes(w));

/* A group: its path, groups in it, its own kernels, and sums over all that it has. */
function tree() {
  const top = {name: '', path: '', groups: new Map(), kernels: [], all: []};
  for (const k of shown()) {
    let at = top;
    for (const part of groupings[state.group](k)) {
      const path = at.path + '/' + part;
      if (!at.groups.has(part)) at.groups.set(part, {name: part, path, groups: new Map(), kernels: [], all: []});
      at.all.push(k);
      at = at.groups.get(part);
    }
    at.all.push(k);
    at.kernels.push(k);
  }
  function join(g) { /* a group of one group is that one */
    for (const [name, inner] of [...g.groups]) {
      let only = inner;
      while (!only.kernels.length && only.groups.size == 1) {
        const next = [...only.groups.values()][0];
        only = {...next, name: only.name + '/' + next.name};
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
  for (const inner of g.groups.values()) {
    list.push(inner.path);
    paths(inner, list);
  }
  return list;
}
/* But for a group that is all there is. */
function foldAll() {
  const top = tree(), only = top.groups.size == 1 && !top.kernels.length ? [...top.groups.values()][0].path : null;
  paths(top, []).filter((p) => p != only).forEach((p) => state.folded.add(p));
}
const total = (list, key) => list.reduce((sum, k) => sum + (k[key] || 0), 0);
