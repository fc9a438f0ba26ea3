'use strict';
// Which curves there are: of one run, of several, over time and over steps.

// The range of a chart with limits: one far above what is limited must not flatten that, nor hide the others.
function topOf(limits, used) {
  const most = peak(used);
  const near = limits.map(peak).filter((above) => above <= 3 * most);
  return Math.max(1, near.length ? Math.max(most, ...near) : most * 1.5) * 1.08;
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
    ], { ...base, top: 'share', axis: 'share of tokens' }),
  ];
  if (s.limit_tokens) {
    const top = topOf([s.limit_tokens], s.committed_tokens);
    found.push(timeline('Limit on tokens', 'contexts of the active agents, and what the controller allows' + moves, span, [
      { name: 'limit', y: s.limit_tokens, measure: 'limit', step: true },
      { name: 'in contexts', y: s.committed_tokens, measure: 'committed' },
    ], { ...base, top, marks: engine.marks, value: 'tokens', axis: 'tokens' }));
  }
  if (s.limit_agents && (!s.limit_tokens || peak(s.limit_agents) <= 3 * peak(s.active))) {
    found.push(timeline('Limit on agents', 'agents holding a slot, and what the controller allows' + (s.limit_tokens ? '' : moves), span, [
      { name: 'limit', y: s.limit_agents, measure: 'limit', step: true },
      { name: 'active', y: s.active, measure: 'active' },
    ], { ...base, top: topOf([s.limit_agents], s.active), marks: s.limit_tokens ? [] : engine.marks, value: 'agents', axis: 'agents' }));
  }
  if (s.limit_requests) {
    found.push(timeline('Limit on requests', 'requests that the engine runs, and how many calls may be in flight' + moves, span, [
      { name: 'limit', y: s.limit_requests, measure: 'limit', step: true },
      { name: 'running', y: s.running, measure: 'running' },
    ], { ...base, top: topOf([s.limit_requests], s.running), marks: engine.marks, value: 'requests', axis: 'requests' }));
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
    timeline('Requests', 'in the engine: running, queued', span, [
      { name: 'running', y: s.running, measure: 'running' },
      { name: 'queued', y: s.queued, measure: 'queued' },
    ], { ...base, axis: 'requests', height: 150 }),
  );
  return found.filter(Boolean);
}

// Several runs: one measure, a line each.
function overlays(runs) {
  const span = Math.max(...runs.map((run) => run.elapsed_s), 1e-3);
  const lines = (measure) => runs.map((run, i) => {
    const series = run.timelines.length ? run.timelines[0].series : { t: [] };
    const bursts = measure.endsWith('_per_s') && series[measure];
    const some = run.timelines.some((engine) => engine.series[measure]);
    const absent = !run.timelines.length ? 'never sampled' : some ? 'on some engines only' : 'no limit';
    return { name: run.name, y: bursts ? smooth(series[measure]) : series[measure], t: series.t, css: RUN_COLOURS[i % RUN_COLOURS.length], dash: runDash(i), absent };
  });
  const share = { top: 'share', height: 180 };
  const each = (measure) => runs.map((run) => (run.timelines.length && run.timelines[0].series[measure]) || []).filter((values) => peak(values) > 0);
  const top = (limit, used) => topOf(each(limit), each(used).flat());
  return [
    ['Cache hit rate', 'of the prompt tokens, served from the cache', 'hit_rate', { ...share, axis: 'share of tokens' }],
    ['Computed again', 'of the history sent again, prefilled once more', 'miss_rate', { ...share, axis: 'share of tokens' }],
    ['KV locked', 'share of the pool held by running requests', 'locked', { ...share, axis: 'share of the pool' }],
    ['KV cached but idle', 'share of the pool that could be evicted', 'evictable', { ...share, axis: 'share of the pool' }],
    ['Active agents', 'holding a slot', 'active', { height: 180, axis: 'agents' }],
    ['Limit on agents', 'what the controller allows', 'limit_agents', { height: 180, axis: 'agents', top: top('limit_agents', 'active'), missing: true }],
    ['Limit on tokens', 'in the contexts of active agents', 'limit_tokens', { height: 180, axis: 'tokens', top: top('limit_tokens', 'committed_tokens'), missing: true }],
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
  if (known.every((run) => last(run.growth.step) === 1)) {
    const said = known.map((run) => `${several ? run.name + ': ' : ''}${many(run.growth.agents[0], 'agent')} made one step, and no agent more: the median has ${count(run.growth.p50[0])} tokens in its context, the longest ${count(run.growth.max[0])}`);
    return el('p', { class: 'note' }, (several ? 'Context by step: ' : '') + said.join('; ') + '.');
  }
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
        yaxis: axis({ range: [0, top], tickformat: countFormat(top), nticks: 6, title: title('tokens in the context') }),
        annotations: direct ? endLabels(labels, 212) : [],
      },
    };
  });
  const names = several
    ? runs.map((run, i) => ({ name: run.name, css: RUN_COLOURS[i % RUN_COLOURS.length], dash: runDash(i) }))
    : [{ name: 'median; shaded p25 to p75 and p10 to p90', measure: 'context' }, { name: 'longest (dotted)', css: '--faint' }];
  const explanation = several ? 'median over the agents that made the step' : 'prompt and reply, per step: median, p25 to p75, p10 to p90, longest; over the agents that made the step';
  return card('Context by step', explanation, div, legend(names));
}
