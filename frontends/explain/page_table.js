/* The table of kernels: columns, sorting, groups that fold. */

const COLUMNS = [
  {
    key: 'row',
    name: 'No.',
    of: (k) => k.number,
    group: (l) => l[0].row,
    show: () => '',
    tip: 'in the order in which they run'
  },
  {
    key: 'title',
    name: 'Kernel',
    words: true,
    tip: 'the ops that it does, and the node of the model that it is known by'
  },
  {key: 'class', name: 'Class', words: true, tip: 'how it is computed'},
  {
    key: 'ms',
    name: isMeasured ? 'Time' : 'Least time',
    cell: (k) => time(k.ms),
    group: (l) => total(l, 'ms'),
    show: time,
    tip: isMeasured ? 'measured, all calls of one run' : 'predicted: nothing was measured'
  },
  {
    key: 'share_of_time',
    name: 'Share',
    cell: (k) => share(k.share_of_time),
    group: (l) => total(l, 'share_of_time'),
    show: share,
    bar: true,
    tip: 'of the time of all kernels'
  },
  {
    key: 'predicted_ms',
    name: 'At least',
    cell: (k) => time(k.predicted_ms),
    group: (l) => total(l, 'predicted_ms'),
    show: time,
    tip: 'the least time that the machine allows'
  },
  {
    key: 'share_of_peak',
    name: 'Of peak',
    cell: (k) => share(k.share_of_peak),
    group: (l) => Math.max(...l.map((k) => k.share_of_peak || 0)),
    show: () => '',
    bar: true,
    tip: 'operations per second, as a share of the most that the machine does'
  },
  {
    key: 'flops',
    name: 'FLOP',
    cell: (k) => count(k.flops),
    group: (l) => total(l, 'flops'),
    show: count,
    tip: 'floating-point operations of one call'
  },
  {
    key: 'bytes',
    name: 'Bytes',
    cell: (k) => bytes(k.bytes),
    group: (l) => total(l, 'bytes'),
    show: bytes,
    tip: 'read and written by one call'
  },
  {
    key: 'intensity',
    name: 'FLOP/B',
    cell: (k) => k.intensity == null ? '-' : k.intensity.toFixed(k.intensity >= 100 ? 0 : 1),
    group: (l) => total(l, 'flops') / (total(l, 'bytes') || 1),
    show: (x) => x.toFixed(1),
    tip: 'operations for each byte: few mean that memory is what it waits for'
  },
  {key: 'bound', name: 'Bound by', words: true, tip: 'what keeps it from being faster'},
];

function compare(a, b) {
  if (a == null || b == null) return (a == null) - (b == null);
  return typeof a == 'string' ? a.localeCompare(b) : a - b;
}

/* Groups and kernels of a group, as the table is sorted. */
function entries(g) {
  const column = COLUMNS.find((c) => c.key == state.sort);
  const list = [...g.groups.values()]
                   .map((inner) => ({group: inner, key: column.group ? column.group(inner.all) : inner.name}))
                   .concat(g.kernels.map((k) => ({kernel: k, key: k[state.sort]})));
  list.sort((x, y) => (state.down ? -1 : 1) * compare(x.key, y.key) || 0);
  return list;
}

function bar(x) { return el('i', {style: 'width:' + Math.min(92, 92 * Math.max(0, x || 0)).toFixed(1) + '%'}); }

function kernelRow(k, depth) {
  const cells = COLUMNS.map((c) => {
    if (c.key == 'title')
      return el('td',
          {class: 'words', style: 'padding-left:' + (9 + 18 * depth) + 'px', title: k.title + '\n' + k.source}, k.title,
          el('small', {}, tail(k.source || k.name, 46)));
    if (c.key == 'class')
      return el(
          'td', {class: 'words'}, el('span', {class: 'class', style: 'border-color:' + colour(k.class)}, k.class));
    if (c.key == 'row') return el('td', {}, String(k.number) + (k.part == 'prepare' ? 'p' : ''));
    if (c.words) return el('td', {class: 'words'}, k[c.key]);
    return c.bar ? el('td', {class: 'share'}, bar(k[c.key]), el('b', {}, c.cell(k))) : el('td', {}, c.cell(k));
  });
  return el('tr', {
    tabindex: 0,
    'data-row': k.row,
    class: k.row == state.selected ? 'selected' : null,
    onclick: () => select(k.row),
    onkeydown: (e) => {
      if (e.key == 'Enter' || e.key == ' ') {
        select(k.row);
        e.preventDefault();
      }
    }
  },
      cells);
}

function groupRow(g, depth) {
  const isFolded = state.folded.has(g.path);
  const toggle = () => {
    isFolded ? state.folded.delete(g.path) : state.folded.add(g.path);
    drawAll();
    focusOn('[data-path="' + CSS.escape(g.path) + '"]');
  };
  const cells = COLUMNS.map((c) => {
    if (c.key == 'title')
      return el('td', {class: 'words', style: 'padding-left:' + (9 + 18 * depth) + 'px'},
          (isFolded ? '\u25b8 ' : '\u25be ') + g.name,
          el('small', {}, g.all.length + (g.all.length == 1 ? ' kernel' : ' kernels')));
    if (!c.group) return el('td', {class: 'words'}, '');
    const x = c.group(g.all);
    return c.bar && c.key == 'share_of_time' ? el('td', {class: 'share'}, bar(x), el('b', {}, c.show(x)))
                                             : el('td', {}, c.show(x));
  });
  return el('tr', {
    tabindex: 0,
    class: 'group',
    'data-path': g.path,
    'aria-expanded': String(!isFolded),
    onclick: toggle,
    onkeydown: (e) => {
      if (e.key == 'Enter' || e.key == ' ') {
        toggle();
        e.preventDefault();
      }
    }
  },
      cells);
}

function drawTable() {
  const head = el('tr', {},
      COLUMNS.map((c) => el('th', {
        class: c.words ? 'words' : null,
        title: c.tip,
        'aria-sort': state.sort != c.key ? 'none'
            : state.down                 ? 'descending'
                                         : 'ascending'
      },
                      el('button', {'data-key': c.key, onclick: () => sortBy(c)},
                          c.name + (state.sort == c.key ? (state.down ? ' \u2193' : ' \u2191') : '')))));
  const rows = [];
  function add(g, depth) {
    for (const e of entries(g)) {
      if (e.kernel) {
        if (matches(e.kernel)) rows.push(kernelRow(e.kernel, depth));
        continue;
      }
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
  else {
    state.sort = column.key;
    state.down = !column.words && column.key != 'row';
  }
  drawTable();
  focusOn('thead [data-key="' + column.key + '"]');
}
