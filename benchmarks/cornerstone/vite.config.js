export default {
  base: "./",
  build: { outDir: "dist", target: "esnext", minify: false },
  resolve: { alias: { events: "events/events.js" } }, // a package of npm, in place of node's own
  worker: { format: "es" },
};
