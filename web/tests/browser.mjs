// Chromium, looked over its shoulder: what it asks other hosts for, what the policy forbade, what a page complained of.
// Never knows: the pages.
import { createHash, X509Certificate } from "node:crypto";
import { chromium } from "playwright-core";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Trusts this authority (PEM), if one is given, and nothing else that is not trusted anyhow. */
export async function launch(authority = null) {
  const args = ["--no-sandbox", "--disable-gpu"];
  if (authority !== null) {
    const key = new X509Certificate(authority).publicKey.export({ type: "spki", format: "der" });
    args.push(`--ignore-certificate-errors-spki-list=${createHash("sha256").update(key).digest("base64")}`);
  }
  return await chromium.launch({ executablePath: EXECUTABLE, args });
}

/** Somebody's browser: a window of a size, dark or light. */
export class Visitor {
  static async come(browser, url, { width = 1280, height = 860, colorScheme = "light" } = {}) {
    const context = await browser.newContext({
      baseURL: url,
      viewport: { width, height },
      colorScheme,
      reducedMotion: "reduce",
      timezoneId: "Europe/Vienna",
      acceptDownloads: true,
      permissions: ["clipboard-write", "clipboard-read"],
    });
    const visitor = new Visitor(context, url);
    // What the policy forbids is told to the page alone.
    await context.addInitScript(() => {
      globalThis.addEventListener("securitypolicyviolation", (event) => {
        console.error(`policy: ${event.violatedDirective} forbade ${event.blockedURI}`);
      });
    });
    context.on("request", (request) => {
      const asked = new URL(request.url());
      if (asked.protocol !== "blob:" && asked.origin !== new URL(url).origin) visitor.wrongs.push(`left for ${request.url()}`);
    });
    visitor.page = await context.newPage();
    visitor.page.setDefaultTimeout(15_000);
    visitor.page.on("pageerror", (error) => visitor.wrongs.push(`threw ${error.message}`));
    visitor.page.on("console", (message) => {
      const text = message.text();
      // A refusal is answered to, not hidden: browsers tell of each.
      if (message.type() === "error" && !/Failed to load resource: the server responded with a status of 4\d\d/.test(text)) visitor.wrongs.push(text);
    });
    return visitor;
  }

  constructor(context, url) {
    this.context = context;
    this.url = url;
    this.wrongs = [];
  }

  /** Everything that axe calls serious or critical, in a line each. */
  async axe() {
    await this.page.evaluate(AXE);
    const found = await this.page.evaluate(async () => {
      const result = await globalThis.axe.run(document, { resultTypes: ["violations"] });
      return result.violations
        .filter((one) => one.impact === "serious" || one.impact === "critical")
        .map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 160)).slice(0, 3).join(" | ")} ${one.nodes[0]?.failureSummary?.slice(0, 200)}`);
    });
    return found;
  }

  /** Whether the page is wider than its window. */
  async overflows() {
    return await this.page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  }

  /** Tables of which only a part is seen at once. */
  async cutTables() {
    return await this.page.evaluate(() => [...document.querySelectorAll(".table")].filter((table) => table.scrollWidth > table.clientWidth).map((table) => table.ariaLabel));
  }

  async leave() {
    await this.context.close();
  }
}
