// How the console is built: into a folder that the server takes in, with nothing inline, as its policy demands.
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "dist/console",
    emptyOutDir: true,
    target: "es2023",
    // A picture inside a style sheet would be another source than 'self'.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
