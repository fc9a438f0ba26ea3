'use strict';
// Numbers: tiles and tables.

function tile(name, value, more, bad) {
  return el('div', { class: 'tile' + (bad ? ' bad' : '') }, el('div', { class: 'name' }, name), el('div', { class: 'value' }, value), more ? el('div', { class: 'more' }, more) : null);
}

function byName(counts) {
  return Object.entries(counts).sort((a, b) => b[1] - a[1]).map(([name, n]) => `${name} ${count(n)}`).join(', ');
}

function tiles(run) {
  const { rollouts, tokens, figures } = run;
  const failed = run.statuses.error || 0;
  const left = rollouts.total - rollouts.ended;
  return el('div', { class: 'tiles' },
    tile('rollouts ended', count(rollouts.ended), `of ${count(rollouts.total)}` + (left ? `; ${count(rollouts.begun)} begun, ${count(rollouts.never_started)} not started` : '') + (run.tasks !== rollouts.total ? `; ${count(run.tasks)} tasks` : '')),
    tile('failed', count(failed), failed ? byName(run.failures) : 'none', failed > 0),
    tile('time', duration(run.elapsed_s), (run.segments > 1 ? `of work, in ${run.segments} segments` : run.per_second.rollouts ? `${number(run.per_second.rollouts)} rollouts/s` : '') + (figures.makespan_s === null || duration(figures.makespan_s) === duration(run.elapsed_s) ? '' : `; last end after ${duration(figures.makespan_s)}`)),
    tile('generated', run.per_second.generated_tokens === null ? '–' : `${compact(run.per_second.generated_tokens)}/s`, many(tokens.generated, 'token')),
    tile('cache hit rate', percent(tokens.cached_share), `of ${compact(tokens.prompt)} prompt tokens`),
    tile('computed again', tokens.recomputed === null ? '–' : percent(tokens.recomputed_share), tokens.recomputed === null ? (tokens.cached_share !== null || !run.steps ? 'no history was sent again' : 'not told by the engine') : `of the history: ${compact(tokens.recomputed)} tokens`),
    tile('an agent’s life', duration(figures.agent_p50_s), figures.agent_p95_s === null ? 'none has ended' : `median; p95 ${duration(figures.agent_p95_s)}`),
    tile('steps', count(run.steps), (run.per_second.steps ? `${number(run.per_second.steps)}/s; ` : '') + many(run.tool_calls, 'tool call')),
  );
}

function head(run, runs) {
  const state = run.condition === 'finished' ? 'good' : ['starting', 'running', 'draining'].includes(run.condition) ? 'live' : ['failed', 'engine', 'broke off'].includes(run.condition) ? 'bad' : '';
  const chips = [el('span', { class: 'chip ' + state }, run.condition)];
  if (run.simulated) chips.push(el('span', { class: 'chip' }, 'simulated'));
  if (run.policy) chips.push(el('span', { class: 'chip' }, 'controller ' + run.policy));
  for (const [name, engine] of Object.entries(run.engines).slice(0, 8)) {
    chips.push(el('span', { class: 'chip' }, [engine.model, engine.capacity_tokens ? `pool of ${compact(engine.capacity_tokens)} tokens` : null, 'on ' + name].filter(Boolean).join(', ')));
  }
  const date = (text) => text.replace('T', ' ').replace('+00:00', ' UTC');
  if (run.started_at) chips.push(el('span', { class: 'chip' }, state === 'live' ? `as of ${date(run.finished_at)}` : `begun ${date(run.started_at)}`));
  return [el('h1', {}, runs.length > 1 ? `${runs.length} runs compared` : run.name), el('p', { class: 'path mono' }, runs.length > 1 ? runs.map((one) => one.run).join(' · ') : run.run), runs.length > 1 ? null : el('div', { class: 'chips' }, chips)];
}

function shown(value, unit) {
  if (value === null || value === undefined) return '–';
  if (unit === '%') return percent(value);
  return unit === 's' ? duration(value) : number(value) + unit;
}

function comparison(data) {
  const heading = el('tr', {}, el('th', { class: 'first' }, ''), data.runs.map((run, i) => el('th', { class: 'n' }, el('span', { class: 'runname' }, swatch(RUN_COLOURS[i % RUN_COLOURS.length], runDash(i)), run.name))));
  const rows = data.compared.map((row) => el('tr', {}, el('td', { class: 'first' }, row.name), row.values.map((value, i) => el('td', { class: 'n' }, shown(value, row.unit), row.so_far.includes(i) ? el('span', { class: 'ratio' }, 'so far') : i ? ratio(row.ratios[i], row.less_is_better) : null))));
  const state = el('tr', {}, el('td', { class: 'first' }, 'controller'), data.runs.map((run) => el('td', { class: 'n' }, run.policy || '–')));
  const ended = el('tr', {}, el('td', { class: 'first' }, 'state'), data.runs.map((run) => el('td', { class: 'n' }, run.condition)));
  return el('div', { class: 'card scroll' }, el('table', { id: 'comparison' }, el('thead', {}, heading), el('tbody', {}, state, ended, rows)));
}

function ratio(value, lessIsBetter) {
  if (value === null || value === undefined) return null;
  const same = Math.abs(value - 1) < 0.005;
  const better = lessIsBetter === null || same ? '' : (value < 1) === lessIsBetter ? ' good' : ' bad';
  return el('span', { class: 'ratio' + better }, '×' + (value >= 100 ? Math.round(value) : value < 0.095 ? Number(value.toPrecision(2)) : value.toFixed(2)));
}

function differences(data) {
  if (!data.differences.length) return null;
  const rows = data.differences.map((row) => el('tr', {}, el('td', { class: 'mono' }, row.key), row.values.map((value) => el('td', { class: 'mono' }, value === null ? '–' : value))));
  return el('details', { class: 'card more' }, el('summary', {}, `${many(data.differences.length, 'setting that differs', 'settings that differ')}`), el('div', { class: 'scroll' }, el('table', {},
    el('thead', {}, el('tr', {}, el('th', {}, 'key'), data.runs.map((run) => el('th', {}, run.name)))), el('tbody', {}, rows))));
}

function toolTable(run) {
  if (!run.tools.length) return el('p', { class: 'note' }, run.lives.phases.tool ? 'No tool call has come back yet.' : 'No tool was called.');
  const most = Math.max(...run.tools.map((tool) => tool.total_s || 0), 1e-9);
  const bar = (share) => { const fill = el('i'); fill.style.width = `${(100 * share).toFixed(1)}%`; return el('div', { class: 'meter' }, fill); };
  const rows = run.tools.map((tool) => el('tr', {},
    el('td', { class: 'mono' }, tool.tool), el('td', { class: 'n' }, count(tool.calls)),
    el('td', { class: 'n' + (tool.errors ? ' badtext' : '') }, tool.errors ? `${count(tool.errors)} (${percent(tool.errors / tool.calls)})` : '0'),
    ['p50_s', 'p95_s', 'max_s', 'total_s'].map((key) => el('td', { class: 'n' }, duration(tool[key]))), el('td', {}, bar((tool.total_s || 0) / most))));
  return el('div', { class: 'card scroll' }, el('table', { id: 'tools' },
    el('thead', {}, el('tr', {}, el('th', {}, 'tool'), ['calls', 'errors', 'p50', 'p95', 'longest', 'in all'].map((name) => el('th', { class: 'n' }, name)), el('th', {}, ''))), el('tbody', {}, rows)));
}

function errorTable(run, open) {
  const { classes, calls } = run.errors;
  const parts = [];
  if (!classes.length) parts.push(el('p', { class: 'note' }, 'No rollout ended with an error.'));
  for (const one of classes) {
    const rows = one.examples.map((example) => el('tr', {},
      el('td', { class: 'first' }, el('button', { class: 'link', type: 'button', onclick: () => open(example.rollout) }, example.rollout), el('div', { class: 'note' }, `after ${many(example.steps, 'step')}` + (example.attempt > 1 ? `, attempt ${example.attempt}` : ''))),
      el('td', {}, el('div', { class: 'message' }, example.message))));
    parts.push(el('div', { class: 'card' }, el('div', { class: 'top' }, el('h3', { class: 'badtext' }, one.class), el('span', { class: 'say' }, many(one.count, 'rollout') + (one.examples.length < one.count ? `; ${many(one.examples.length, 'example')}` : ''))), el('div', { class: 'scroll' }, el('table', {}, el('tbody', {}, rows)))));
  }
  if (calls.length) parts.push(el('p', { class: 'note' }, 'Model calls that raised into an agent: ' + calls.map((one) => `${one.error} ${count(one.count)}`).join(', ')));
  if (run.tool_errors) parts.push(el('p', { class: 'note' }, `${many(run.tool_errors, 'tool call')} failed, which the agents were told: `, el('a', { href: '#toolcalls' }, 'Tools'), ' counts them by tool, and trajectories show them in red.'));
  return parts;
}

function eventTable(run) {
  const { kept, more } = run.events;
  if (kept.length < 2 && !kept.some((one) => one.line)) return null;
  const rows = kept.map((one) => el('tr', {}, el('td', { class: 'n when' }, duration(one.t)), el('td', {}, one.what), el('td', {}, one.detail)));
  return el('div', { class: 'card scroll' }, el('div', { class: 'top' }, el('h3', {}, 'What happened'), el('span', { class: 'say' }, 'dotted lines in the charts' + (more ? `; ${count(more)} more are not listed` : ''))), el('table', {}, el('tbody', {}, rows)));
}

function settings(run) {
  const engines = Object.entries(run.engines).map(([name, engine]) => el('tr', {},
    el('td', { class: 'mono engine' }, name), el('td', {}, [engine.kind, engine.version].filter(Boolean).join(' ') || '–'), el('td', {}, engine.model || '–'), el('td', { class: 'n' }, count(engine.capacity_tokens)), el('td', {}, engine.policy || '–'), el('td', {}, [engine.note, engine.lost ? 'away: ' + [' ', ': '].reduce((lost, end) => (lost.startsWith(name + end) ? lost.slice((name + end).length) : lost), engine.lost) : null].filter(Boolean).join(' ') || '')));
  return [
    el('div', { class: 'card scroll' }, el('table', {},
      el('thead', {}, el('tr', {}, el('th', {}, 'engine'), el('th', {}, 'version'), el('th', {}, 'model'), el('th', { class: 'n' }, 'KV pool, tokens'), el('th', {}, 'controller'), el('th', {}, ''))),
      el('tbody', {}, engines.length ? engines : el('tr', {}, el('td', { colspan: 6 }, 'None was seen yet.'))))),
    el('p', { class: 'note' }, 'Run with ' + (run.versions.join('; ') || 'nothing yet') + '.'),
    el('details', { class: 'card more' }, el('summary', {}, 'Configuration (config.json, without secrets)'), el('pre', { class: 'settings' }, run.settings)),
  ];
}
