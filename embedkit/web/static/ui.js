// What all pages share: components, messages, dialogs and keys.

import htm from "./vendor/htm.js";
import { Component, createRef, h, render } from "./vendor/preact.js";
import { ApiError, signIn } from "./api.js";

export const html = htm.bind(h);
export { Component, createRef, render };

const WINDOWS = /^[A-Za-z]:\\|^\\\\/; // elsewhere, a backslash escapes a character or is a part of the name

export const nameOf = (path) =>
  path.slice(Math.max(path.lastIndexOf("/"), WINDOWS.test(path) ? path.lastIndexOf("\\") : -1) + 1);
export const counted = (count, noun, nouns = `${noun}s`) =>
  `${count.toLocaleString("en")} ${count === 1 ? noun : nouns}`;

// Keys of the page do nothing while a person types, or with a modifier that the browser uses.
export const isTyping = (event) =>
  event.ctrlKey || event.metaKey || event.altKey || event.isComposing
  || event.target.closest?.("input, select, textarea, dialog, [contenteditable]") !== null;

let timer = 0;
let isRefused = false; // whether the server refused the secret in the link

// Have a message read out, without showing it.
export function announce(text) {
  document.getElementById("status").textContent = text;
}

// Whether a person's action removed the element with the focus.
export const isFocusLost = () =>
  document.activeElement === document.body && Boolean(navigator.userActivation?.hasBeenActive);

// Focus the first element that a selector matches, or else the content of the page, if the focus is lost.
export function refocus(selector) {
  if (isFocusLost()) (document.querySelector(selector) ?? document.getElementById("main")).focus();
}

// Lead past the bar: to the active photo of the grid, if the page has one.
function skip(event) {
  event.preventDefault(); // a new fragment would be a new page for the browser's history
  (document.querySelector(".cell[tabindex='0']") ?? document.getElementById("main")).focus();
}

// Show a message, and read it out.
export function say(text, isBad = false) {
  document.querySelector(".toast")?.remove();
  clearTimeout(timer);
  announce(text);
  if (!text) return;
  const toast = document.createElement("div");
  toast.className = isBad ? "toast is-bad" : "toast";
  toast.ariaHidden = "true"; // the status is read out
  toast.textContent = text;
  document.body.append(toast);
  timer = setTimeout(() => toast.remove(), isBad ? 9000 : 3500);
}

export function complain(error) {
  if (error.name === "AbortError") return;
  if (!(error instanceof ApiError)) throw error;
  if (error.status === 401) return showSignIn();
  say(error.message, true);
}

// Exchange the token, and show the page.
export async function start(element) {
  const main = document.getElementById("main");
  document.querySelector(".skip").addEventListener("click", skip);
  try {
    await signIn().catch((error) => {
      isRefused = error.status === 401;
      throw error;
    });
    main.replaceChildren();
    render(element, main);
  } catch (error) {
    complain(error);
  }
}

function showSignIn() {
  const main = document.getElementById("main");
  render(null, main);
  render(html`<div class="empty">
    <h2 class="title">Open the link that embedkit printed</h2>
    ${isRefused && html`<p class="bad" role="alert">The server does not know this secret. It has a new one after each start.</p>`}
    <p>This page needs the secret after the # of that link. Paste the link or the secret here:</p>
    <form onSubmit=${(event) => {
      event.preventDefault();
      location.hash = event.target.elements.token.value.trim().replace(/^.*#/, "");
      location.reload();
    }}>
      <input class="field" name="token" aria-label="Link or secret" autocomplete="off" required />
      ${" "}<button class="button primary">Open</button>
    </form></div>`, main);
}

export class Dialog extends Component {
  box = createRef();

  componentDidMount() {
    this.box.current.showModal();
  }

  // Closing gives the focus back. Its event comes later, when another dialog may be open.
  componentWillUnmount() {
    this.isGone = true;
    this.box.current.close();
  }

  render({ title, className, onClose, children }) {
    return html`<dialog ref=${this.box} class=${className} aria-label=${title}
      onClose=${() => this.isGone || onClose()}>${children}</dialog>`;
  }
}

export const Help = ({ keys, onClose }) => html`
  <${Dialog} title="Keys" onClose=${onClose}>
    <h2>Keys</h2>
    <dl class="keys">${keys.map(([key, meaning]) => html`
      <dt>${key.split(" ").map((one) => html`<kbd>${one}</kbd> `)}</dt><dd>${meaning}</dd>`)}</dl>
    <button class="button primary" onClick=${onClose}>Close</button>
  <//>`;

export const Viewer = ({ photo, onClose, onMove }) => html`
  <${Dialog} className="viewer" title=${nameOf(photo.path)} onClose=${onClose}>
    <img src=${`/api/v1/photos/${photo.sha256}/picture`} alt=${nameOf(photo.path)} />
    <p class="caption" role="status">${nameOf(photo.path)}${photo.labels?.length ? ` (${photo.labels.join(", ")})` : ""}</p>
    <button class="button close" onClick=${onClose} onKeyDown=${(event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) onMove(step);
    }}>Close</button>
  <//>`;
