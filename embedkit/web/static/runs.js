// Long operations of the server: watching one, and showing its progress.

import { Component, announce, html, refocus } from "./ui.js";
import { ApiError, address, post } from "./api.js";

const FINISHED = ["done", "failed", "stopped"];

// Call `onChange` with the run whenever it changes, until it is finished; returns a function that
// stops watching.
export function watch(id, onChange, onError) {
  let events = null;
  let isOver = false;

  function listen() {
    events = new EventSource(address(`/runs/${id}/events`));
    events.onmessage = (event) => {
      const run = JSON.parse(event.data);
      if (FINISHED.includes(run.state)) leave();
      onChange(run);
    };
    events.onerror = () => { // a browser connects again by itself, unless the server refused
      if (events?.readyState === EventSource.CLOSED) {
        onError(new ApiError(0, "The connection to the server was lost. Reload the page."));
      }
    };
  }

  // A hidden tab does not listen: browsers have few connections to one server.
  function look() {
    if (isOver) return;
    if (document.hidden) {
      events?.close();
      events = null;
    } else if (!events) listen();
  }

  function leave() {
    isOver = true;
    document.removeEventListener("visibilitychange", look);
    events?.close();
  }

  document.addEventListener("visibilitychange", look);
  look();
  return leave;
}

export const isFinished = (run) => FINISHED.includes(run.state);

const ENDS = { done: "finished", failed: "failed", stopped: "stopped" };

// Properties: id, onDone(run), onError(error). Shows progress, and a button that stops the run.
export class RunProgress extends Component {
  state = { run: null };

  componentDidMount() {
    refocus(".progress");
    this.leave = watch(this.props.id, (run) => {
      if (isFinished(run)) announce(`${run.title}: ${ENDS[run.state]}`);
      else if (!this.state.run) announce(`${run.title}: started`);
      this.setState({ run });
      if (isFinished(run)) this.props.onDone(run);
    }, this.props.onError);
  }

  componentWillUnmount() {
    this.leave();
  }

  stop = () => post(`/runs/${this.props.id}/stop`, {}).catch(this.props.onError);

  render(_, { run }) {
    if (!run) return html`<div class="progress" tabindex="-1" role="group" aria-label="Progress"><p class="soft">Starting…</p></div>`;
    const { stage, done, total, seconds_left: left } = run.progress;
    const words = run.state === "stopping" ? "stopping" : stage;
    return html`<div class="progress" tabindex="-1" role="group" aria-label="Progress">
      <p>${words}${total > 0 && ` · ${done.toLocaleString("en")} of ${total.toLocaleString("en")}`}
        ${left > 1 && ` · about ${duration(left)} left`}</p>
      <progress aria-label=${run.title} max="1" value=${total > 0 ? done / total : undefined}></progress>
      ${!isFinished(run) && html`<button class="button" onClick=${this.stop}>Stop</button>`}
    </div>`;
  }
}

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
