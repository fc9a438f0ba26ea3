'use strict';
// Curves over time and over steps.

const WIDE = 620; // from this width on lines are labelled at their ends, else by the legend below

function peak(values) {
  let most = 0;
  for (const value of values || []) if (value !== null && value > most) most = value;
  return most;
}

function middles(ends, by) {
  return ends.map((end, i) => (end + (i ? ends[i - 1] : 0)) / 2 / by);
}

// A moving mean over some 3 % of the curve: what comes in bursts is hard to read otherwise.
function smooth(values) {
  const half = Math.max(1, Math.round(values.length * 0.015));
  return values.map((own, i) => {
    if (own === null) return null;
    let sum = 0;
    let known = 0;
    for (let j = Math.max(0, i - half); j <= Math.min(values.length - 1, i + half); j++) {
      if (values[j] !== null) { sum += values[j]; known += 1; }
    }
    return sum / known;
  });
}

function last(values) {
  for (let i = values.length - 1; i >= 0; i--) if (values[i] !== null) return values[i];
  return null;
}

// Names at the ends of lines, pushed apart where they would lie on each other. `y` in 0..1 of the chart's height.
function endLabels(labels, pixels) {
  const gap = 14 / pixels;
  const sorted = labels.filter((one) => one.y !== null).sort((a, b) => a.y - b.y);
  sorted.forEach((one, i) => { one.at = Math.min(1, Math.max(i ? sorted[i - 1].at + gap : 0, one.y)); });
  for (let i = sorted.length - 1, roof = 1; i >= 0; i--) {
    sorted[i].at = Math.min(sorted[i].at, roof);
    roof = sorted[i].at - gap;
  }
  return sorted.map((one) => ({
    xref: 'paper', yref: 'paper', x: 1, y: one.at, xanchor: 'left', yanchor: 'middle', xshift: 6, showarrow: false,
    text: plain(one.name, 18), font: { size: 12, color: one.colour },
  }));
}

// What happened to the run as a whole, as lines through every timeline.
function eventLines(events, by) {
  return events.filter((one) => one.line).map((one) => ({
    type: 'line', xref: 'x', yref: 'paper', x0: one.t / by, x1: one.t / by, y0: 0, y1: 1,
    line: { color: variable('--faint'), width: 1, dash: 'dot' },
  }));
}

function legend(lines) {
  return el('div', { class: 'legend' }, lines.map((line) =>
    el('span', {}, swatch(line.css || COLOURS[line.measure]), line.name)));
}

function swatch(cssName) {
  const mark = el('i', { class: 'swatch' });
  mark.style.background = `var(${cssName})`;
  return mark;
}

function card(heading, explanation, ...parts) {
  return el('section', { class: 'card' }, el('div', { class: 'top' }, el('h3', {}, heading), el('span', { class: 'say' }, explanation)), parts);
}

// A timeline. `lines`: {name, y, measure, css?, dash?, stack?, step?, unit?}. `more.marks`: decisions. `more.top`: upper end, or 'share'.
function timeline(heading, explanation, span, lines, more) {
  const shown = lines.filter((line) => line.y && line.y.some((value) => value !== null));
  if (!shown.length) return null;
  const share = more.top === 'share';
  const div = chart(more.height || 190, (width) => {
    const unit = timeUnit(span);
    const direct = width >= WIDE;
    const top = share ? 1 : more.top || peak(shown.flatMap((line) => line.raw || line.y)) * 1.08 || 1;
    const paint = (line) => (line.css ? variable(line.css) : colour(line.measure));
    const faint = shown.filter((line) => line.raw).map((line) => ({
      type: 'scatter', mode: 'lines', x: middles(line.t || more.t, unit.by), y: line.raw, line: { color: faded(paint(line), 0.35), width: 1 }, hoverinfo: 'skip',
    }));
    const traces = shown.map((line) => ({
      type: 'scatter', mode: 'lines', name: plain(line.name, 40), x: middles(line.t || more.t, unit.by), y: line.y,
      line: { color: paint(line), width: line.stack ? 0.5 : line.width || 1.8, dash: line.dash || 'solid', shape: line.step ? 'hv' : 'linear' },
      stackgroup: line.stack ? 'all' : undefined, stackgaps: line.stack ? 'infer zero' : undefined,
      fillcolor: line.stack ? faded(paint(line), line.measure === 'free' ? 0.8 : 0.85) : undefined,
      hovertemplate: share ? '%{y:.1%}' : '%{y:,.3~s}' + (more.unit || ''), connectgaps: Boolean(more.connect),
    }));
    if (more.marks && more.marks.length) traces.push(...markTraces(more.marks, more.value, top, unit.by, span));
    const height = more.height || 190;
    let floor = 0;
    const labels = shown.map((line) => {
      const value = last(line.y);
      if (line.stack) floor += value || 0;
      const y = line.stack ? floor - (value || 0) / 2 : value;
      const text = line.stack && COLOURS[line.measure] !== '--blue' ? variable('--soft') : paint(line);
      const beyond = !line.stack && value > top; // the line itself cannot be seen
      return { name: beyond ? `${line.name} ${compact(value)} ↑` : line.name, y: value === null ? null : Math.min(1, y / top), colour: text };
    });
    return {
      traces: [...faint, ...traces], direct, by: unit.by,
      layout: {
        margin: { l: 56, r: direct ? 118 : 16, t: 8, b: 26 }, hovermode: 'x unified',
        xaxis: timeAxis(span, { hoverformat: '.4~g' }),
        yaxis: axis({ range: [0, top], tickformat: share ? '.0%' : '~s', nticks: 5, title: title(more.axis || (share ? 'share' : '')) }),
        shapes: eventLines(more.events || [], unit.by),
        annotations: direct ? endLabels(labels, height - 34) : [],
      },
    };
  }, { group: 'time' });
  return card(heading, explanation, div, legend(shown));
}

// Moves of a limit: up and down, with the reason at the pointer.
function markTraces(marks, value, top, by, span) {
  return [true, false].map((up) => {
    const some = marks.filter((mark) => mark.up === up && mark.t <= span);
    return {
      type: 'scatter', mode: 'markers', name: up ? 'raised' : 'lowered', x: some.map((mark) => mark.t / by),
      y: some.map((mark) => { const at = mark[value]; return at === null ? top * 0.98 : Math.min(at, top * 0.98); }),
      text: some.map((mark) => plain(`${mark.reason || 'no reason given'}: ${limits(mark)}` + (mark.moves > 1 ? ` (the greatest of ${mark.moves} moves)` : ''))),
      hovertemplate: '%{text}', cliponaxis: false,
      marker: { symbol: up ? 'triangle-up' : 'triangle-down', size: 8, color: up ? variable('--card') : colour('limit'), line: { color: colour('limit'), width: 1.3 } },
    };
  });
}

function limits(mark) {
  const parts = [];
  if (mark.agents !== null) parts.push(many(mark.agents, 'agent'));
  if (mark.tokens !== null) parts.push(compact(mark.tokens) + ' tokens');
  if (mark.requests !== null) parts.push(many(mark.requests, 'request'));
  return parts.join(', ') || 'no limit';
}

// The range of a chart with a limit: a limit far above what it limits must not flatten that.
function topOf(limit, used) {
  const most = peak(used);
  const above = peak(limit);
  return Math.max(1, above <= 3 * most ? Math.max(above, most) : most * 1.5) * 1.08;
}

function timelines(run, engine) {
  const s = engine.series;
  const span = run.elapsed_s;
  const base = { t: s.t, events: run.events.kept };
  const moves = engine.marks.length ? '; triangles are its moves' : '';
  const free = s.locked && s.evictable ? s.locked.map((value, i) => (value === null || s.evictable[i] === null ? null : Math.max(0, 1 - value - s.evictable[i]))) : null;
  const found = [
    timeline('KV cache', 'share of the pool: locked by running requests, cached but idle, empty', span, [
      { name: 'locked', y: s.locked, measure: 'locked', stack: true },
      { name: 'evictable', y: s.evictable, measure: 'evictable', stack: true },
      { name: 'free', y: free, measure: 'free', stack: true },
    ], { ...base, top: 'share', axis: 'share of the pool' }),
    timeline('Prefix cache', 'of the prompt tokens, served from the cache; of the history sent again, computed again', span, [
      { name: 'hit rate', y: s.hit_rate, measure: 'hit' },
      { name: 'miss rate', y: s.miss_rate, measure: 'miss' },
    ], { ...base, top: 'share', axis: 'share of tokens', connect: true }),
  ];
  if (s.limit_tokens) {
    const top = topOf(s.limit_tokens, s.committed_tokens);
    found.push(timeline('Limit on tokens', 'contexts of the active agents, and what the controller allows' + moves, span, [
      { name: 'limit', y: s.limit_tokens, measure: 'limit', step: true },
      { name: 'in contexts', y: s.committed_tokens, measure: 'committed' },
    ], { ...base, top, marks: engine.marks, value: 'tokens', axis: 'tokens' }));
  }
  if (s.limit_agents && (!s.limit_tokens || peak(s.limit_agents) <= 3 * peak(s.active))) {
    found.push(timeline('Limit on agents', 'agents holding a slot, and what the controller allows' + (s.limit_tokens ? '' : moves), span, [
      { name: 'limit', y: s.limit_agents, measure: 'limit', step: true },
      { name: 'active', y: s.active, measure: 'active' },
    ], { ...base, top: topOf(s.limit_agents, s.active), marks: s.limit_tokens ? [] : engine.marks, value: 'agents', axis: 'agents' }));
  }
  if (s.limit_requests) {
    found.push(timeline('Limit on requests', 'requests that the engine runs, and how many calls may be in flight' + moves, span, [
      { name: 'limit', y: s.limit_requests, measure: 'limit', step: true },
      { name: 'running', y: s.running, measure: 'active' },
    ], { ...base, top: topOf(s.limit_requests, s.running), marks: engine.marks, value: 'requests', axis: 'requests' }));
  }
  found.push(
    timeline('Decode', 'tokens generated per second; thick: the moving mean', span, [
      { name: 'decode', y: smooth(s.decode_per_s || []), raw: s.decode_per_s, measure: 'decode', width: 2.2 },
    ], { ...base, unit: ' tokens/s', axis: 'tokens/s', height: 140 }),
    timeline('Prefill', 'prompt tokens computed per second; thick: the moving mean', span, [
      { name: 'prefill', y: smooth(s.prefill_per_s || []), raw: s.prefill_per_s, measure: 'prefill', width: 2.2 },
    ], { ...base, unit: ' tokens/s', axis: 'tokens/s', height: 140 }),
    timeline('Agents', 'holding a slot, paused at a step boundary, not started yet', span, [
      { name: 'active', y: s.active, measure: 'active' },
      { name: 'paused', y: s.paused, measure: 'paused' },
      { name: 'not started', y: s.unstarted, measure: 'unstarted' },
    ], { ...base, axis: 'agents' }),
  );
  return found.filter(Boolean);
}

// Several runs: one measure, a line each.
function overlays(runs) {
  const span = Math.max(...runs.map((run) => run.elapsed_s), 1e-3);
  const lines = (measure) => runs.map((run, i) => {
    const series = run.timelines.length ? run.timelines[0].series : { t: [] };
    const bursts = measure.endsWith('_per_s') && series[measure];
    return { name: run.name, y: bursts ? smooth(series[measure]) : series[measure], t: series.t, css: RUN_COLOURS[i % RUN_COLOURS.length], dash: runDash(i) };
  });
  const share = { top: 'share', height: 180, connect: true };
  const all = (measure) => runs.flatMap((run) => (run.timelines.length && run.timelines[0].series[measure]) || []);
  return [
    ['Cache hit rate', 'of the prompt tokens, served from the cache', 'hit_rate', { ...share, axis: 'share of tokens' }],
    ['Computed again', 'of the history sent again, prefilled once more', 'miss_rate', { ...share, axis: 'share of tokens' }],
    ['KV locked', 'share of the pool held by running requests', 'locked', { ...share, axis: 'share of the pool' }],
    ['KV cached but idle', 'share of the pool that could be evicted', 'evictable', { ...share, axis: 'share of the pool' }],
    ['Active agents', 'holding a slot', 'active', { height: 180, axis: 'agents' }],
    ['Limit on agents', 'what the controller allows', 'limit_agents', { height: 180, axis: 'agents', top: topOf(all('limit_agents'), all('active')) }],
    ['Limit on tokens', 'in the contexts of active agents', 'limit_tokens', { height: 180, axis: 'tokens' }],
    ['Paused agents', 'waiting to return', 'paused', { height: 180, axis: 'agents' }],
    ['Generated', 'tokens per second, moving mean', 'decode_per_s', { height: 180, axis: 'tokens per second', unit: ' tokens/s' }],
    ['Prefilled', 'tokens per second, moving mean', 'prefill_per_s', { height: 180, axis: 'tokens per second', unit: ' tokens/s' }],
  ].map(([heading, explanation, measure, more]) => timeline(heading, explanation, span, lines(measure), more)).filter(Boolean);
}

// How contexts grow: of one run with its quantiles, of several their medians.
function growthChart(runs) {
  const several = runs.length > 1;
  const known = runs.filter((run) => run.growth.step.length);
  if (!known.length) return null;
  const div = chart(260, (width) => {
    const direct = width >= WIDE;
    const traces = [];
    const blue = colour('context');
    if (!several) {
      const g = known[0].growth;
      const band = (low, high, alpha, name) => traces.push(
        { type: 'scatter', mode: 'lines', x: g.step, y: g[low], line: { width: 0 }, hoverinfo: 'skip' },
        { type: 'scatter', mode: 'lines', x: g.step, y: g[high], line: { width: 0 }, fill: 'tonexty', fillcolor: faded(blue, alpha), name, hoverinfo: 'skip' },
      );
      band('p10', 'p90', 0.16, 'p10 to p90');
      band('p25', 'p75', 0.26, 'p25 to p75');
      traces.push({ type: 'scatter', mode: 'lines', x: g.step, y: g.max, name: 'longest', line: { color: variable('--faint'), width: 1, dash: 'dot' }, hovertemplate: '%{y:,.0f}' });
      traces.push({
        type: 'scatter', mode: g.step.length > 1 ? 'lines' : 'markers', x: g.step, y: g.p50, name: 'median', line: { color: blue, width: 2.2 }, marker: { color: blue },
        text: g.step.map((_, i) => `p10 ${compact(g.p10[i])}, p90 ${compact(g.p90[i])}; ${many(g.agents[i], 'agent')} came so far`),
        hovertemplate: '%{y:,.0f} (%{text})',
      });
    } else {
      runs.forEach((run, i) => {
        if (!run.growth.step.length) return;
        traces.push({ type: 'scatter', mode: 'lines', x: run.growth.step, y: run.growth.p50, name: plain(run.name, 40), line: { color: runColour(i), width: 1.8, dash: runDash(i) }, hovertemplate: '%{y:,.0f}' });
      });
    }
    const top = Math.max(1, ...known.map((run) => peak(several ? run.growth.p50 : run.growth.max))) * 1.06;
    const labels = several
      ? runs.map((run, i) => ({ name: run.name, y: run.growth.step.length ? last(run.growth.p50) / top : null, colour: runColour(i) }))
      : [{ name: 'median', y: last(known[0].growth.p50) / top, colour: blue }, { name: 'longest', y: last(known[0].growth.max) / top, colour: variable('--soft') }];
    const steps = Math.max(...known.map((run) => last(run.growth.step)));
    return {
      traces, direct,
      layout: {
        margin: { l: 56, r: direct ? 118 : 12, t: 8, b: 40 }, hovermode: 'x unified',
        xaxis: axis({ title: title('step'), range: steps > 1 ? [1, steps] : [0.5, 1.5], tickformat: ',d', dtick: steps < 12 ? 1 : undefined, unifiedhovertitle: { text: 'step %{x}' } }),
        yaxis: axis({ range: [0, top], tickformat: '~s', nticks: 6, title: title('tokens in the context') }),
        annotations: direct ? endLabels(labels, 212) : [],
      },
    };
  });
  const names = several
    ? runs.map((run, i) => ({ name: run.name, css: RUN_COLOURS[i % RUN_COLOURS.length] }))
    : [{ name: 'median; shaded p25 to p75 and p10 to p90', measure: 'context' }, { name: 'longest (dotted)', css: '--faint' }];
  const explanation = several ? 'median over the agents that made the step' : 'prompt and reply, per step: median, p25 to p75, p10 to p90, longest; over the agents that made the step';
  return card('Context by step', explanation, div, legend(names));
}
