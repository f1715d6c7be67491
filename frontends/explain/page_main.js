/* What changes when something is selected, searched for, folded; and how it all begins. */

function focusOn(selector) {
  const e = document.querySelector(selector);
  if (e) e.focus();
}

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

function card(value, what, title) {
  return el('div', {class: 'card', title}, el('b', {}, value), el('span', {}, what));
}

function begin() {
  const t = data.totals, run = kernels.filter((k) => k.part == 'run'), packing = kernels.length - run.length;
  $('name').querySelector('h1').textContent = data.name || 'model';
  $('name').querySelector('p').textContent =
      data.version + (data.symbols.length ? '; ' + data.symbols.map((s) => s.name + ' = ' + s.value).join(', ') : '');
  $('cards').append(
      ...[isMeasured ? card(time(t.measured_ms), 'measured, a run',
                           time(t.kernels_ms) + ' of it in kernels; lower quartiles of ' + t.runs + ' runs')
                     : null,
          card(time(t.predicted_ms), 'at least, on this machine', 'the sum of the least times of all kernels'),
          isMeasured
              ? card(share(t.flops / t.measured_ms * 1e3 / data.machine.flops_per_second), 'of peak',
                    'of ' + count(data.machine.flops_per_second) + 'FLOP/s on ' + data.machine.threads + ' thread(s)')
              : null,
          card(flop(t.flops), 'operations'), card(bytes(t.bytes), 'moved'), card(String(run.length), 'kernels'),
          card(bytes(t.packed_weight_bytes), 'weights'), card(bytes(t.arena_bytes), 'arena')]
          .filter((c) => c));
  const group = $('group');
  for (const name of Object.keys(groupings)) group.append(el('option', {value: name}, name));
  const depth = new Set(run.map((k) => modulePath(k).join('/'))).size;
  state.group = depth > 1 ? 'module path' : 'nothing';
  group.value = state.group;
  if (run.length > 600) foldAll();
  $('with-prepare').hidden = packing == 0;
  $('with-prepare').title = packing + ' kernels that run once, when the program is loaded';

  group.addEventListener('change', () => {
    state.group = group.value;
    state.folded.clear();
    drawAll();
    show(state.tab);
    fit(false);
  });
  $('fold').addEventListener('click', () => {
    foldAll();
    drawAll();
    fit(false);
  });
  $('unfold').addEventListener('click', () => {
    state.folded.clear();
    drawAll();
    fit(false);
  });
  $('prepare').addEventListener('change', (e) => {
    state.prepare = e.target.checked;
    drawAll();
    fit(false);
  });
  $('search').addEventListener('input', (e) => {
    state.words = e.target.value.toLowerCase().split(/\s+/).filter((w) => w);
    drawAll();
    const first = state.words.length ? drawing.list.find((u) => (u.kernel  ? [u.kernel]
                                                                 : u.group ? u.group.all
                                                                           : [])
                                                             .some(matches))
                                     : null;
    if (first && state.tab == 'graph') centre(first.x, first.y);
  });
  const tabs = [...document.querySelectorAll('[role=tab]')];
  tabs.forEach((b, i) => {
    b.addEventListener('click', () => show(b.getAttribute('aria-controls')));
    b.addEventListener('keydown', (e) => {
      const by = e.key == 'ArrowRight' ? 1 : e.key == 'ArrowLeft' ? -1 : 0;
      if (by) {
        const next = tabs[(i + by + tabs.length) % tabs.length];
        show(next.getAttribute('aria-controls'));
        next.focus();
      }
    });
  });
  $('table').addEventListener('keydown', (e) => {
    const row = e.target.closest('tbody tr'),
          next = row &&
        (e.key == 'ArrowDown'        ? row.nextElementSibling
                : e.key == 'ArrowUp' ? row.previousElementSibling
                                     : null);
    if (next) {
      next.focus();
      e.preventDefault();
    }
  });
  document.addEventListener('keydown', (e) => {
    const isTyping = /INPUT|SELECT/.test(e.target.tagName);
    if (e.key == '/' && !isTyping) {
      $('search').focus();
      e.preventDefault();
    }
    if (e.key == 'Escape') select(-1);
    if ((e.key == 'n' || e.key == 'p') && !isTyping && e.target != $('canvas')) step(e.key == 'n' ? 1 : -1);
  });
  addEventListener('resize', () => {
    look();
    if (state.tab == 'arena') drawArena();
  });
  listenToGraph();
  drawDetails();
  show('graph');
  drawAll();
  fit(false);
}
begin();
