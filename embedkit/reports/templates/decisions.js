"use strict";
// Parts of a page on which a person takes decisions by keyboard and saves them as CSV.

const $ = (id) => document.getElementById(id);
function counted(count, thing) { return `${count.toLocaleString("en")} ${thing}${count === 1 ? "" : "s"}`; }
function element(tag, className, text) {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}
function say(text) { $("said").textContent = text; }
function notify(text, isBad = false) {
  $("notice").textContent = text;
  $("notice").classList.toggle("bad", isBad);
}

// Saves rows of cells as a CSV, in the same bytes as embedkit writes, and returns the name of the file.
function download(stem, rows) {
  const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  const text = rows.map((cells) => `${cells.map(quoted).join(",")}\r\n`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", ...text], { type: "text/csv" }));
  link.download = `${stem}-${timestamp(new Date())}.csv`; // a unique name, since browsers would rename a second one
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return link.download;
}

function timestamp(now) { // local time, as 20260131-235959
  const digits = (value) => String(value).padStart(2, "0");
  return [now.getFullYear(), now.getMonth() + 1, now.getDate()].map(digits).join("")
    + "-" + [now.getHours(), now.getMinutes(), now.getSeconds()].map(digits).join("");
}

function showDialog(id, focused) { // the attribute autofocus would also take the focus when the page opens
  $(id).showModal();
  $(id).querySelector(focused).focus();
}

// The key that decides or moves; null where it types text, opens a link or belongs to a dialog.
function keyOf(event) {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || $("keys").open) return null;
  if (target.closest("input:not([type=radio]), select, textarea")) return null;
  const native = [" ", "Enter"].includes(event.key) && target.closest("button, a, summary, input");
  if (native || (event.key.startsWith("Arrow") && target.closest("input"))) return null;
  return event.key.length === 1 ? event.key.toLowerCase() : event.key;
}
