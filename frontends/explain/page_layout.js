/* Where boxes of the graph go: layers from the top down, an order in each that crosses few edges, places near those that a
 * box is connected with (after Sugiyama).
 *
 * in:  kernels, folded groups, inputs and outputs, and the values between them
 * out: `drawing`: boxes with x and y, edges with the points that they pass
 */

const BOX = {
  width: 236,
  height: 70,
  gap: 26,
  between: 44,
  bend: 12
};

/* What is drawn as a box: kernels, folded groups, inputs and outputs. */
function units() {
  const list = [], of = new Map(), top = tree();
  function add(g) {
    for (const inner of g.groups.values()) {
      if (!state.folded.has(inner.path)) {
        add(inner);
        continue;
      }
      const u = {group: inner, first: inner.all[0].row};
      inner.all.forEach((k) => of.set(k.row, u));
      list.push(u);
    }
    for (const k of g.kernels) {
      const u = {kernel: k, first: k.row};
      of.set(k.row, u);
      list.push(u);
    }
  };
  add(top);
  const inputs = new Map(), edges = new Map();
  for (const [from, to, value] of data.edges) {
    const isShown = values[value].part == 'run' || state.prepare;
    if (!isShown) continue;
    let a = of.get(from), b = of.get(to);
    if (from < 0) {
      if (!inputs.has(value)) inputs.set(value, {port: value, first: -1, isInput: true});
      a = inputs.get(value);
    }
    if (to < 0) {
      b = {port: value, first: 1e9};
      list.push(b);
    }
    if (!a || !b || a == b) continue;
    if (!edges.has(a)) edges.set(a, new Map());
    if (!edges.get(a).has(b)) edges.get(a).set(b, {from: a, to: b, values: []});
    edges.get(a).get(b).values.push(value);
  }
  list.push(...inputs.values());
  list.sort((a, b) => a.first - b.first);
  const all = [...edges.values()].flatMap((m) => [...m.values()]);
  return {
    list,
    edges: all.filter((e) => e.from.first <= e.to.first),
    back: all.filter((e) => e.from.first > e.to.first)
  };
}

/* Each unit one layer below the lowest that it reads from; inputs right above their first reader. */
function layer(list, edges) {
  const into = new Map(list.map((u) => [u, []])), out = new Map(list.map((u) => [u, []]));
  edges.forEach((e) => {
    into.get(e.to).push(e);
    out.get(e.from).push(e);
  });
  for (const u of list) u.layer = Math.max(0, ...into.get(u).map((e) => e.from.layer + 1));
  for (const u of list)
    if (u.isInput) u.layer = Math.max(0, Math.min(...out.get(u).map((e) => e.to.layer)) - 1);
}

/* Items of each layer, with one of no width for each layer that an edge passes. */
function layersOf(list, edges) {
  const layers = [];
  function put(item, at) { (layers[at] = layers[at] || []).push(item); }
  const item = (width) => ({width, up: [], down: [], x: 0});
  list.forEach((u) => {
    u.item = item(BOX.width);
    u.item.unit = u;
    put(u.item, u.layer);
  });
  function link(a, b) {
    a.down.push(b);
    b.up.push(a);
  }
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

/* Places near the means of the neighbours', in order, no two too near: neighbours that are in each other's way move as
 * one. */
function settle(layer, side) {
  let at = 0;
  const blocks = [];
  for (const i of layer) {
    const near = i[side], wanted = near.length ? near.reduce((s, n) => s + n.x, 0) / near.length : i.x;
    i.offset = at + i.width / 2;
    at += i.width + (i.unit ? BOX.gap : 4);
    let block = {sum: wanted - i.offset, n: 1, items: [i]};
    while (blocks.length && blocks[blocks.length - 1].sum / blocks[blocks.length - 1].n > block.sum / block.n) {
      const former = blocks.pop();
      block = {sum: former.sum + block.sum, n: former.n + block.n, items: former.items.concat(block.items)};
    }
    blocks.push(block);
  }
  for (const b of blocks)
    for (const i of b.items) i.x = b.sum / b.n + i.offset;
}

function order(layers) {
  layers.forEach((l) => l.forEach((i, n) => { i.rank = n; }));
  function sweep(l, side) {
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
  const {list, edges, back} = units();
  layer(list, edges);
  const layers = layersOf(list, edges);
  order(layers);
  const step = BOX.height + BOX.between;
  let left = Infinity, right = -Infinity;
  list.forEach((u) => {
    u.x = u.item.x;
    u.y = u.layer * step + BOX.height / 2;
    left = Math.min(left, u.x - BOX.width / 2);
    right = Math.max(right, u.x + BOX.width / 2);
  });
  edges.filter((e) => !e.isFar).forEach((e) => {
    e.points = [
      [e.from.x, e.from.y + BOX.height / 2],
      ...e.bends.map((b, i) => [b.x, (e.from.layer + 1 + i) * step + BOX.height / 2]),
      [e.to.x, e.to.y - BOX.height / 2 - 4]
    ];
    e.bends.forEach((b) => {
      left = Math.min(left, b.x);
      right = Math.max(right, b.x);
    });
  });
  back.forEach((e) => {
    e.isBack = true;
    right = Math.max(right, Math.max(e.from.x, e.to.x) + BOX.width / 2 + 40);
  });
  if (!list.length) left = right = 0;
  drawing = {back, list, edges, left, right, top: 0, bottom: Math.max(1, layers.length) * step - BOX.between};
}

/* Past all others: from a folded group back to one above it, or far down in a dense graph. */
function curvePast(e) {
  const x0 = e.from.x + BOX.width / 2, x1 = e.to.x + BOX.width / 2 + 4,
        out = Math.max(x0, x1) + 40 + Math.abs(e.to.y - e.from.y) / 12;
  return 'M' + x0 + ' ' + e.from.y + ' C' + out + ' ' + e.from.y + ' ' + out + ' ' + e.to.y + ' ' + x1 + ' ' + e.to.y;
}

function curve(points) {
  let d = 'M' + points[0][0].toFixed(1) + ' ' + points[0][1].toFixed(1);
  for (let i = 1; i < points.length; i++) {
    const [x0, y0] = points[i - 1], [x1, y1] = points[i], half = (y1 - y0) / 2;
    d += ' C' + x0.toFixed(1) + ' ' + (y0 + half).toFixed(1) + ' ' + x1.toFixed(1) + ' ' + (y1 - half).toFixed(1) +
        ' ' + x1.toFixed(1) + ' ' + y1.toFixed(1);
  }
  return d;
}
