/* The graph drawn: boxes, edges, the map beside it; zoom and keys. */

const view = {x: 0, y: 0, scale: 1};
const some = (n, what) => n + ' ' + what + (n == 1 ? '' : 's');
const ofTime = (list) => time(total(list, 'ms')) + ' \u00b7 ' + share(total(list, 'share_of_time'));

/* The three lines of a box. */
function linesOf(u) {
  const k = u.kernel, v = values[u.port];
  if (v) return [cut(v.name, 27), cut(v.type, 31), bytes(v.bytes) + (u.isInput ? ', input' : ', output')];
  if (k) return [cut(k.title, 27), tail(k.source, 31), k.class + ' \u00b7 ' + ofTime([k])];
  return [tail(u.group.name, 27), some(u.group.all.length, 'kernel') + ', click to unfold', ofTime(u.group.all)];
}

function box(u) {
  const w = BOX.width, h = BOX.height, k = u.kernel, list = k ? [k] : u.group ? u.group.all : [];
  const isFound = !state.words.length || list.some(matches) ||
      (u.port != null && state.words.every((s) => values[u.port].name.toLowerCase().includes(s)));
  const part = total(list, 'share_of_time');
  const texts = linesOf(u);
  const name = u.port != null ? (u.isInput ? 'input ' : 'output ') + values[u.port].name
      : k                     ? k.title + ', ' + k.source
                              : 'group ' + u.group.name;
  const act = () => {
    if (k) select(k.row);
    else if (u.group) {
      state.folded.delete(u.group.path);
      drawAll();
    }
  };
  return svg('g', {
    class: 'node' + (u.group ? ' group' : '') + (u.port != null ? ' port' : '') + (isFound ? '' : ' dimmed'),
    'data-row': k ? k.row : null,
    transform: 'translate(' + (u.x - w / 2).toFixed(1) + ' ' + (u.y - h / 2).toFixed(1) + ')',
    role: u.port != null ? null : 'button',
    tabindex: u.port != null ? null : -1,
    'aria-label': name,
    onclick: act,
    onkeydown: (e) => {
      if (e.key == 'Enter') {
        act();
        e.stopPropagation();
      }
    }
  },
      svg('title', {}, k ? k.title + '\n' + k.source : name), svg('rect', {class: 'box', width: w, height: h, rx: 7}),
      u.port == null ? svg('rect', {
        class: 'bar',
        x: 6,
        y: h - 8,
        height: 4,
        rx: 2,
        width: Math.max(1, (w - 12) * Math.min(1, part / drawing.most)).toFixed(1)
      })
                     : null,
      svg('rect', {width: 5,
        height: h,
        rx: 2.5,
        fill: k       ? colour(k.class)
            : u.group ? 'var(--faint)'
                      : 'none'}),
      texts.map((t, i) => svg('text', {x: 14, y: 19 + 17 * i, class: i ? 'small' : null}, t)));
}

function drawGraph() {
  layOut();
  drawing.most = Math.max(1e-9,
      ...drawing.list.map((u) => total(u.kernel ? [u.kernel]
                                  : u.group     ? u.group.all
                                                : [],
                              'share_of_time')));
  const edges = drawing.edges.concat(drawing.back).map((e) => {
    const past = e.isBack || e.isFar;
    const size = Math.max(...e.values.map((v) => values[v].bytes || 1));
    return e.path = svg('path', {
      class: 'edge' + (past ? ' past' : ''),
      d: past ? curvePast(e) : curve(e.points),
      'stroke-width': (1 + Math.max(0, Math.log10(size) - 3) * 0.5).toFixed(1),
      'marker-end': 'url(#arrow)'
    },
               svg('title', {},
                   e.values.map((v) => values[v].name + ': ' + values[v].type + ', ' + bytes(values[v].bytes))
                       .join('\n')));
  });
  const arrow = svg('defs', {},
      svg('marker', {
        id: 'arrow',
        viewBox: '0 0 8 8',
        refX: 5,
        refY: 4,
        markerWidth: 7,
        markerHeight: 7,
        markerUnits: 'userSpaceOnUse',
        orient: 'auto'
      },
          svg('path', {class: 'arrow', d: 'M0 0 L8 4 L0 8 z'})));
  $('canvas').replaceChildren(arrow, svg('g', {id: 'scene'}, edges, drawing.list.map((u) => u.box = box(u))));
  drawMap();
  mark();
  look();
}

/* What is selected, and the values that it reads and writes. */
function mark() {
  const isSelected = (u) => u.kernel != null && u.kernel.row == state.selected;
  drawing.list.forEach((u) => u.box.classList.toggle('selected', isSelected(u)));
  drawing.edges.concat(drawing.back)
      .forEach((e) => e.path.classList.toggle('near', isSelected(e.from) || isSelected(e.to)));
}

function drawMap() {
  const d = drawing, pad = 40;
  const map = $('map');
  map.setAttribute(
      'viewBox', [d.left - pad, d.top - pad, d.right - d.left + 2 * pad, d.bottom - d.top + 2 * pad].join(' '));
  map.replaceChildren(...d.list.map((u) => svg('rect', {
    x: u.x - BOX.width / 2,
    y: u.y - BOX.height / 2,
    width: BOX.width,
    height: BOX.height,
    fill: u.kernel ? colour(u.kernel.class) : 'var(--faint)',
    class: u.kernel && !matches(u.kernel) ? 'dimmed' : null
  })),
      svg('rect', {class: 'view'}));
}

/* Moves scene and map to where the view is. */
function look() {
  const scene = $('scene'), size = $('canvas').getBoundingClientRect();
  if (!scene) return;
  scene.setAttribute('transform', 'translate(' + view.x + ' ' + view.y + ') scale(' + view.scale + ')');
  const frame = $('map').querySelector('.view');
  fill(frame, {
    x: -view.x / view.scale,
    y: -view.y / view.scale,
    width: size.width / view.scale,
    height: size.height / view.scale
  },
      []);
}
function zoom(factor, x, y) {
  const size = $('canvas').getBoundingClientRect();
  if (x == null) {
    x = size.width / 2;
    y = size.height / 2;
  }
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
  const scale =
      Math.min((size.width - 2 * pad) / (d.right - d.left), (size.height - 2 * pad) / (d.bottom - d.top), 1.1);
  view.scale = all ? Math.max(0.02, scale) : Math.max(scale, 0.92);
  const first = d.list.find((u) => u.kernel || u.group);
  view.x = (scale >= view.scale || !first ? size.width / 2 - (d.left + d.right) / 2 * view.scale
                                          : size.width / 2 - first.x * view.scale);
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
    else {
      view.x -= e.deltaY;
      look();
    }
  }, {passive: false});
  canvas.addEventListener('pointerdown', (e) => { from = {x: e.clientX - view.x, y: e.clientY - view.y}; });
  canvas.addEventListener('pointermove', (e) => {
    if (!from || !e.buttons) {
      from = null;
      canvas.classList.remove('moving');
      return;
    }
    canvas.classList.add('moving');
    view.x = e.clientX - from.x;
    view.y = e.clientY - from.y;
    look();
  });
  canvas.addEventListener('pointerup', () => {
    from = null;
    canvas.classList.remove('moving');
  });
  canvas.addEventListener('keydown', (e) => {
    const moves = {ArrowLeft: [80, 0], ArrowRight: [-80, 0], ArrowUp: [0, 80], ArrowDown: [0, -80]};
    if (moves[e.key]) {
      view.x += moves[e.key][0];
      view.y += moves[e.key][1];
      look();
    } else if (e.key == '+' || e.key == '=') zoom(1.25);
    else if (e.key == '-') zoom(0.8);
    else if (e.key == '0') fit(true);
    else if (e.key == 'n' || e.key == 'p') {
      step(e.key == 'n' ? 1 : -1);
    } else return;
    e.preventDefault();
  });
  function jump(e) {
    const at = new DOMPoint(e.clientX, e.clientY).matrixTransform(map.getScreenCTM().inverse());
    centre(at.x, at.y);
  };
  map.addEventListener('pointerdown', jump);
  map.addEventListener('pointermove', (e) => {
    if (e.buttons) jump(e);
  });
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
