/**
 * <script src="https://leads.example.com/chat/widget.js" data-product="flowdesk" async></script>
 *
 * data-product: which product the chat is about; data-target: a selector, to put the chat into the page itself;
 * data-light: without a shadow root there, on a page that has /chat/widget.css and no style that gets in its way.
 */
function start(script) {
  const base = new URL(script.src).origin;
  const { product, target, light } = script.dataset;
  const place = target && document.querySelector(target);
  const memory = new Memory(`leadline ${base} ${product || ""}`);
  const panel = new Panel({
    memory,
    base,
    inline: Boolean(place),
    light: Boolean(place) && light !== undefined,
    onsay: (message) => wire.send(message),
    onopen: () => wire.start(),
  });
  const wire = new Wire(base, product, memory, {
    welcome: (thread) => panel.welcome(thread),
    line: (line) => panel.line(line),
    typing: () => panel.thread.typing(true),
    sent: (id, at) => panel.sent(id, at),
    refused: (id, detail) => panel.refused(id, detail),
    broken: (detail) => panel.broken(detail),
    state: (reachable) => panel.reachable(reachable),
    latest: () => panel.thread.latest,
  });
  (place || document.body).append(panel.host);
  const { token, open } = memory.read();
  if (place || token) wire.start(); // a stranger is not connected before it asks
  if (open && !place && fine()) panel.fold(false, false);
}

const script = document.currentScript || document.querySelector('script[src*="/chat/widget.js"]');
if (document.readyState === "loading") addEventListener("DOMContentLoaded", () => start(script));
else start(script);
