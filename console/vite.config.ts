import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

/** Each file packed beside it: whoever serves it packs nothing. */
const packed: Plugin = {
  name: "packed",
  apply: "build",
  generateBundle: {
    order: "post",
    handler(_, bundle) {
      for (const file of Object.values(bundle)) {
        const source = file.type === "chunk" ? file.code : file.source;
        this.emitFile({ type: "asset", fileName: `${file.fileName}.gz`, source: gzipSync(source, { level: 9 }) });
      }
    },
  },
};

// Two pages: the console, and the player in a frame of its own, which alone may ask edges (see services/scheduler/console.py).
export default defineConfig({
  base: "./",
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  plugins: [packed],
  build: {
    target: "es2022",
    modulePreload: false,
    assetsInlineLimit: 0, // a policy without `data:`
    chunkSizeWarningLimit: 1000, // the players are what they are, and come when somebody plays
    rollupOptions: { input: ["index.html", "player.html"] },
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8083" } },
});
