// A long operation of the server: its progress, and a button that stops it.

import { Component, complain, html } from "./ui.js";
import { ApiError, address, post } from "./api.js";

// Properties: id (changes with the run), onDone(result), onEnd(run) for a run that failed or was stopped.
export class RunProgress extends Component {
  state = { run: null };

  componentDidMount() { this.watch(); }

  componentWillUnmount() { this.events?.close(); }

  componentDidUpdate(before) {
    if (before.id !== this.props.id) this.watch();
  }

  watch() {
    this.events?.close();
    this.events = new EventSource(address(`/runs/${this.props.id}/events`));
    this.events.onmessage = ({ data }) => {
      const run = JSON.parse(data);
      this.setState({ run });
      if (!["done", "failed", "stopped"].includes(run.state)) return;
      this.events.close();
      if (run.state === "done") this.props.onDone(run.result);
      else this.props.onEnd(run);
    };
    this.events.onerror = () => {
      if (this.events.readyState !== EventSource.CLOSED) return; // it connects again by itself
      complain(new ApiError(404, "This run is gone; start it again."));
      this.props.onEnd(null);
    };
  }

  render({ title }, { run }) {
    const { stage, done, total } = run?.progress ?? { stage: "waiting", done: 0, total: 0 };
    const text = run?.state === "waiting" ? "Waiting for another run" : `${stage[0].toUpperCase()}${stage.slice(1)}`;
    return html`<div class="running" role="group" aria-label=${title}>
      <h2 class="title">${title}</h2>
      <p role="status">${text}${total > 0 ? ` ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : ""}…</p>
      <progress aria-label="Progress" ...${total > 0 ? { max: total, value: done } : {}}></progress>
      <p><button class="button" disabled=${run?.state === "stopping"}
        onClick=${() => post(`/runs/${this.props.id}/stop`, {}).catch(complain)}>Stop</button></p>
    </div>`;
  }
}
