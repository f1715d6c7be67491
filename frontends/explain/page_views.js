/* The arena over time, the compilation, and the details of a kernel. */

// ---- Memory ----------------------------------------------------------------------------------------------

function drawArena() {
  const part = state.prepare && state.arenaPart == 'prepare' ? 'prepare' : 'run';
  const list = data.arena.filter((b) => b.part == part), own = kernels.filter((k) => k.part == part);
  const section = $('arena');
  const intro = el('p', {},
      'Values between kernels share one buffer, the arena. Each rectangle is a value: from left to right the kernels ' +
          'that run while it is needed, from bottom to top the bytes that it takes. A good plan leaves few gaps.');
  if (!list.length || !own.length) {
    section.replaceChildren(intro,
        el('p', {}, 'This program keeps nothing in the arena: what its kernels make goes straight to its outputs.'));
    return;
  }
  const first = own[0].row, n = own.length, top = Math.max(...list.map((b) => b.offset + b.bytes));
  const width = Math.max(520, section.clientWidth - 40), height = Math.max(320, section.clientHeight - 140), left = 76,
        bottom = 44;
  const inner = width - left - 10, x = (row) => left + (row - first) / n * inner,
        y = (at) => 8 + (height - bottom - 8) * (1 - at / top);
  const lines = [0, 0.25, 0.5, 0.75, 1].map(
      (p) => svg('g', {}, svg('line', {class: 'grid', x1: left, x2: width - 10, y1: y(p * top), y2: y(p * top)}),
          svg('text', {class: 'axis', x: left - 8, y: y(p * top) + 4, 'text-anchor': 'end'}, bytes(p * top))));
  const every = Math.max(1, Math.ceil(n / (inner / 46)));
  const numbers =
      own.filter((_, i) => i % every == 0)
          .map((k) => svg('text', {class: 'axis', x: x(k.row + 0.5), y: height - 26, 'text-anchor': 'middle'},
                   String(k.number)));
  const blocks = list.map((b, i) => {
    const w = x(b.last + 1) - x(b.first), h = y(b.offset) - y(b.offset + b.bytes), hue = (i * 67) % 360;
    const text = b.what + '\n' + (b.value == null ? '' : values[b.value].type + ', ') + bytes(b.bytes) + ' at ' +
        bytes(b.offset) + '\nfrom kernel ' + kernels[b.first].number + ' (' + cut(kernels[b.first].title, 40) +
        ') to kernel ' + kernels[b.last].number;
    const near = state.selected >= b.first && state.selected <= b.last;
    return svg('g', {class: near || state.selected < 0 ? null : 'dimmed'}, svg('rect', {
      class: 'block',
      tabindex: -1,
      'data-block': i,
      x: x(b.first).toFixed(1),
      y: y(b.offset + b.bytes).toFixed(1),
      width: Math.max(1, w).toFixed(1),
      height: Math.max(1, h).toFixed(1),
      fill: 'hsl(' + hue + ' 55% 68%)',
      onclick: () => select(b.first),
      onpointermove: (e) => tip(e, text),
      onpointerleave: () => tip()
    }),
        w > 60 && h > 15
            ? svg('text', {class: 'name', x: (x(b.first) + 5).toFixed(1), y: (y(b.offset + b.bytes) + 13).toFixed(1)},
                  cut(b.what, Math.floor(w / 7)))
            : null);
  });
  section.replaceChildren(intro,
      svg('svg', {width, height, role: 'img', 'aria-label': list.length + ' values in an arena of ' + bytes(top)},
          lines, blocks, numbers,
          svg('text', {class: 'axis', x: left + inner / 2, y: height - 6, 'text-anchor': 'middle'},
              'kernels, by number, in the order in which they run')),
      el('p', {},
          list.length + ' values; ' + bytes(data.totals.arena_bytes) + ' in all' +
              (data.totals.live_bytes == null
                      ? ''
                      : ', of which at most ' + bytes(data.totals.live_bytes) + ' are in use at once') +
              '. Hover for names and sizes; click to see the kernel that makes a value.'));
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

// ---- Compilation -----------------------------------------------------------------------------------------

function rows(head, list) {
  return el('table', {},
      el('tbody', {}, el('tr', {}, head.map((h) => el('th', {}, h))),
          list.map((cells) => el('tr', {}, cells.map((c) => el('td', {}, c))))));
}

const allowed = (s) => 'from ' + s.lower + (s.upper == null ? '' : ' to ' + s.upper) +
    (s.divisor > 1 ? ', multiples of ' + s.divisor : '');

/* A title and what stands below it; null: there is nothing to tell. */
const compilation = {
  'Inputs and outputs': () => rows(['Name', 'Type', 'Bytes'],
      data.inputs.concat(data.outputs)
          .map((v) => [v.name + (v.place == 'output' ? ' (output)' : ''), v.type, bytes(v.bytes)])),
  'Sizes that are not fixed': () => data.symbols.length &&
      rows(['Symbol', 'Figures are for', 'Allowed'], data.symbols.map((s) => [s.name, String(s.value), allowed(s)])),
  'What sizes have to fulfil': () =>
      data.constraints.length && el('ul', {}, data.constraints.map((c) => el('li', {}, c))),
  'Stages of the compilation': () => {
    const all = data.stages.reduce((sum, s) => sum + s.ms, 0);
    return rows(['Stage', 'Time', 'Share'],
        data.stages.map((s) => [s.name, time(s.ms), share(s.ms / all)]).concat([['all', time(all), '']]));
  },
  'Bytes': () => rows(['What', 'Bytes'], [
    ['weights as given', bytes(data.totals.raw_weight_bytes)],
    ['weights as packed for the kernels', bytes(data.totals.packed_weight_bytes)],
    ['code', bytes(data.totals.code_bytes)],
    ['arena: values between kernels', bytes(data.totals.arena_bytes)],
    ['scratch of each thread', bytes(data.totals.scratch_bytes)],
  ]),
  'The machine': () => rows(['Limit', 'Measured'], [
    [threads() + ', multiply-adds of f32', flop(data.machine.flops_per_second) + '/s'],
    ...data.machine.bandwidth.map((l) => ['loops over ' + bytes(l.bytes), count(l.bytes_per_second) + 'B/s']),
  ]),
  'Made by': () => el('p', {},
      data.version + '; target ' + data.target +
          (data.cut ? '. Functions that are called from several places are shown once.' : '')),
};

function drawWhole() {
  const parts = Object.entries(compilation).map(([title, make]) => {
    const content = make();
    return content ? el('div', {class: 'part'}, el('h3', {}, title), content) : null;
  });
  $('whole').replaceChildren(el('div', {class: 'parts'}, parts.filter((p) => p)));
}

// ---- Details ---------------------------------------------------------------------------------------------

/* The page says how it is to be read (page.html); what depends on the data is filled in. */
function legend() {
  const text = $('legend').content.cloneNode(true);
  text.querySelector('.measured').textContent = isMeasured
      ? 'The lower quartile of ' + data.totals.runs + ' runs on ' + threads() + ' of this machine.'
      : 'Nothing was measured: times are those predicted.';
  return text;
}

const valueLine = (v) => el('li', {}, values[v].name + ': ' + values[v].type + ', ' + bytes(values[v].bytes) + ' ',
    el('span', {class: 'faint'}, values[v].place));
const kernelLink = (k) => el('button', {class: 'link', onclick: () => select(k.row)},
    k.title + (k.source ? ' (' + cut(k.source, 40) + ')' : ''));

function neighbours(k, isBefore) {
  const near = new Set(
      data.edges.filter((e) => e[isBefore ? 1 : 0] == k.row).map((e) => e[isBefore ? 0 : 1]).filter((r) => r >= 0));
  if (!near.size) return [];
  const links = [...near].slice(0, 12).map((r) => el('li', {}, kernelLink(kernels[r])));
  const more = near.size > 12 ? el('li', {class: 'faint'}, 'and ' + (near.size - 12) + ' more') : null;
  return [el('h3', {}, isBefore ? 'Reads what these make' : 'Read by'), el('ul', {}, links, more)];
}

function pairs(list) {
  return el('div', {class: 'pairs'}, list.filter((p) => p).flatMap(([a, b]) => [el('span', {}, a), el('span', {}, b)]));
}

function drawDetails() {
  const k = kernels[state.selected], pane = $('details');
  if (!k) {
    pane.replaceChildren(legend());
    return;
  }
  const nodes = k.nodes.filter((n) => !n.view), list = nodes.length ? nodes : k.nodes;
  const others = k.nodes.length - list.length;
  pane.replaceChildren(...[el('button', {class: 'close', title: 'Close (Escape)', onclick: () => select(-1)}, '\u00d7'),
      el('h2', {}, k.title),
      el('p', {class: 'faint'},
          'Kernel ' + k.number + (k.part == 'prepare' ? ' of weight packing' : '') + ', ' + k.name + ', class ' +
              k.class + (k.function == 'main' || k.function == 'prepare' ? '' : ', in @' + k.function)),
      pairs([
        k.measured_ms != null ? ['Measured', time(k.measured_ms)] : null,
        ['At least', time(k.predicted_ms) + (k.bound == 'unknown' ? '' : ' (' + k.bound + ')')],
        ['Share of all kernels', share(k.share_of_time)],
        k.share_of_peak != null ? ['Of the machine\u2019s peak', share(k.share_of_peak)] : null,
        k.calls != 1 ? ['Calls in a run', k.calls == null ? 'known when it runs' : String(+k.calls.toFixed(2))] : null,
        ['Operations', flop(k.flops)], ['Reads', bytes(k.bytes_read)], ['Reads weights', bytes(k.weight_bytes)],
        ['Writes', bytes(k.bytes_written)], k.temporary_bytes ? ['Temporaries', bytes(k.temporary_bytes)] : null,
        ['Operations for a byte', k.intensity == null ? '-' : k.intensity.toFixed(1)]
      ]),
      el('h3', {}, 'Why it is built so'),
      k.notes.length ? el('ul', {}, k.notes.map((n) => el('li', {}, n)))
                     : el('p', {class: 'faint'}, 'Nothing was noted.'),
      el('h3', {}, 'Nodes of the model in it'),
      ...list.map((n) => el('div', {class: 'op'}, el('b', {}, n.op), el('span', {}, n.type),
                      n.locations.length ? el('span', {class: 'from'}, n.locations.map(place).join(', ')) : null)),
      others
          ? el('p', {class: 'faint'},
                'and ' + others + (others == 1 ? ' view or constant' : ' views and constants') + ', which cost nothing')
          : null,
      el('h3', {}, 'Reads'),
      el('ul', {}, k.reads.map(valueLine)),
      el('h3', {}, 'Writes'),
      el('ul', {}, k.writes.map(valueLine)),
      ...neighbours(k, true),
      ...neighbours(k, false),
  ].filter((p) => p));
  pane.scrollTop = 0;
}
