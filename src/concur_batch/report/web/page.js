'use strict';
// The page: what all runs have in common first, then one run in detail.

function section(id, heading, ...parts) {
  return el('section', { id }, el('h2', {}, heading), parts);
}

function timeSection(run) {
  if (!run.timelines.length) return section('time', 'Over time', el('p', { class: 'note' }, 'No engine was sampled: the run was shorter than one interval, or has not begun.'));
  const place = el('div');
  const fill = (engine) => {
    forget(place);
    place.replaceChildren(...timelines(run, engine));
  };
  fill(run.timelines[0]);
  let pick = null;
  if (run.timelines.length > 1) {
    const select = el('select', { id: 'engine', 'aria-label': 'Engine' }, run.timelines.map((engine, i) => el('option', { value: i }, engine.name || 'all engines together')));
    select.addEventListener('change', () => { fill(run.timelines[Number(select.value)]); drawAll(); });
    pick = el('p', { class: 'note printless' }, 'Engine: ', select);
  }
  return section('time', 'Over time', say('Time is that of work since the start. Each point is the mean over an interval; what the engine does not tell is left out. Drag to look closer in all charts at once, double-click to see all again.'), pick, place, eventTable(run));
}

function detail(run) {
  const viewer = new Viewer(run);
  const open = (id) => viewer.show(id);
  const kept = run.trajectories;
  const rest = kept.all - kept.shown;
  const words = `${count(kept.shown)} of ${many(kept.all, 'rollout')} can be read here` + (kept.failures ? `, among them ${count(kept.failures_shown)} of ${many(kept.failures, 'failure')}` : '') + (rest > 0 ? `; ${count(rest)} are not kept in this file` + (kept.listed < kept.all ? `, and ${count(kept.all - kept.listed)} of them not listed` : '') + '.' : '.') + (kept.all ? ' Failures come first, then the others; each by id.' : '');
  return [
    timeSection(run),
    section('agents', 'Agents', agentTime([run]), timeTable(run), gantt(run, open)),
    section('context', 'Context', growthChart([run]) || el('p', { class: 'note' }, 'No model call has come to its end.'), run.growth.beyond ? el('p', { class: 'note' }, `${count(run.growth.beyond)} later steps are not shown.`) : null),
    section('toolcalls', 'Tools', toolTable(run)),
    section('errors', 'Errors', errorTable(run, open)),
    section('trajectories', 'Trajectories', say(words), kept.all ? viewer.root : null),
    section('settings', 'Configuration', settings(run)),
  ];
}

const SECTIONS = [['time', 'Over time'], ['agents', 'Agents'], ['context', 'Context'], ['toolcalls', 'Tools'], ['errors', 'Errors'], ['trajectories', 'Trajectories'], ['settings', 'Configuration']];

function start() {
  const data = JSON.parse(document.getElementById('data').textContent);
  const { runs } = data;
  const several = runs.length > 1;
  const place = el('div', { id: 'detail' });
  const links = [...(several ? [['compared', 'Compared']] : []), ...SECTIONS].map(([id, name]) => el('a', { href: '#' + id }, name));
  const bar = el('nav', { class: 'bar' }, links);
  const show = (run) => {
    forget(place);
    zoomed = null;
    const top = several ? [el('h2', {}, 'One run: ', run.name), ...head(run, [run]).slice(1), tiles(run)] : [];
    place.replaceChildren(...[...top, ...detail(run)].filter(Boolean));
    drawAll();
  };
  const page = document.getElementById('page');
  page.replaceChildren(el('header', { class: 'head' }, head(runs[0], runs)));
  if (several) {
    const select = el('select', { id: 'run', 'aria-label': 'Run' }, runs.map((run, i) => el('option', { value: i }, run.name)));
    select.addEventListener('change', () => show(runs[Number(select.value)]));
    bar.append(el('span', { class: 'pick' }, 'Details of ', select));
    page.append(bar, section('compared', 'Compared', say('Ratios are to the first run.' + (data.compared.some((row) => row.so_far.length) ? ' “So far” is of a run that has not finished: what is known only in the end is not compared.' : '')), comparison(data), differences(data), el('div', { class: 'pair' }, overlays(runs)), agentTime(runs), growthChart(runs)));
  } else {
    page.append(bar, tiles(runs[0]));
  }
  page.append(place);
  show(runs[0]);
  watch();
  document.documentElement.dataset.ready = 'yes';
}

start();
