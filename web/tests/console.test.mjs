// The console in Chromium at a real server, with points that a real agent made: every main flow, in the order in which people come to
// them, then every page in light and dark, wide and narrow.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { after, before, test as step } from "node:test";
import { launch, Visitor } from "./browser.mjs";
import { logIn, PEOPLE, visitorAs } from "./people.mjs";
import { alerts } from "./flows/alerts.mjs";
import { cancel } from "./flows/cancel.mjs";
import { dialogs } from "./flows/dialogs.mjs";
import { keyboard } from "./flows/keyboard.mjs";
import { live } from "./flows/live.mjs";
import { signOn } from "./flows/sign-on.mjs";
import { totp } from "./totp.mjs";
import { PASSWORD, World } from "./world.mjs";

const PICTURES = new URL("../pictures/", import.meta.url).pathname;
const LETTER = "We agree on everything.\n";
const LARGE = Buffer.alloc(3_000_000, "0123456789abcdef\n");

let world;
let browser;
let image;

before(async () => {
  mkdirSync(PICTURES, { recursive: true });
  world = new World();
  await world.startServer();
  browser = await launch(world.authority);
  image = world.makeImage("files.img", {
    "letters/contract.txt": LETTER,
    "letters/offer.txt": "Ten servers.\n",
    "large.bin": LARGE,
    "ünïcödé & spaces.txt": "names are bytes\n",
  });
});

after(async () => {
  await browser?.close();
  await world?.end();
});

/** Each goes on from where the one before ended: after a failure there is nothing to go on from. */
let failed = false;
function test(name, act) {
  step(name, async (context) => {
    if (failed) return context.skip("one before it failed");
    failed = true;
    await act();
    failed = false;
  });
}

/** Somebody does something, and nothing is wrong afterwards. */
async function as(name, act, looks) {
  const visitor = await visitorAs(browser, world, name, looks);
  try {
    await act(visitor.page, visitor);
    assert.deepEqual(visitor.wrongs, []);
  } catch (error) {
    await visitor.page.screenshot({ path: `${PICTURES}failed.png` });
    throw error;
  } finally {
    await visitor.leave();
  }
}

test("the first administrator, by the code that the server printed", async () => {
  const visitor = await Visitor.come(browser, world.url);
  const { page } = visitor;
  await page.goto("/");
  await page.getByRole("heading", { name: "First administrator" }).waitFor();
  assert.deepEqual(await visitor.axe(), []);
  await page.screenshot({ path: `${PICTURES}setup.png` });
  await page.getByLabel("Setup code").fill("WRONG");
  await page.getByLabel("Name").fill("admin");
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Make the first" }).click();
  await page.getByRole("alert").getByText("This is not the code.").waitFor();
  await page.getByLabel("Setup code").fill(world.setupCode);
  await page.getByRole("button", { name: "Make the first" }).click();
  await page.getByText("The first administrator is made").waitFor();
  await page.getByLabel("Password").fill("wrong password");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("alert").getByText("The name, the password or the code is wrong.").waitFor();
  await logIn(page, "admin");
  await page.getByText("There are no machines yet.").waitFor();
  assert.deepEqual(visitor.wrongs, []);
  await visitor.leave();
});

test("people are added, with their roles", async () => {
  await as("admin", async (page) => {
    await page.getByRole("link", { name: "People" }).click();
    await page.getByRole("button", { name: "Add a person" }).click();
    await page.getByLabel("Name").fill("olga");
    await page.getByLabel("First password").fill(PASSWORD);
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByRole("cell", { name: "operator of everything" }).waitFor();
  });
  const admin = await world.somebody("admin");
  for (const [name, grants] of Object.entries(PEOPLE)) {
    if (name !== "olga") await admin.post("people", { name, password: PASSWORD, grants });
  }
});

test("a machine is enrolled with a code, and its points appear by themselves", async () => {
  await as("olga", async (page) => {
    await page.getByRole("link", { name: "Enrolments" }).click();
    await page.getByLabel("Machine").fill("files");
    await page.getByRole("button", { name: "Make a code" }).click();
    const commands = await page.locator(".copied code").innerText();
    const [, url, code] = commands.match(/^backstay enroll (\S+) (\S+)/) ?? [];
    assert.equal(url, world.url);
    world.enroll("files", code);
    await page.reload();
    await page.getByLabel("Machine").fill("files");
    await page.getByText("It is enrolled. Once the code is used").waitFor();
    await page.getByRole("link", { name: "Machines" }).click();
    await page.getByRole("link", { name: "files" }).click();
    await page.getByText("There are no points of this machine yet.").waitFor();
    world.protect("files", image);
    await page.getByRole("slider", { name: "Moment on the timeline" }).waitFor();
    // Moments are typed to the second.
    await page.waitForTimeout(1200);
    world.putInto(image, "letters/offer.txt", "Twenty servers.\n");
    world.protect("files", image);
    await page.waitForTimeout(1200);
    world.putInto(image, "letters/new.txt", "New.\n");
    world.protect("files", image);
    await page.getByRole("link", { name: "3", exact: true }).waitFor();
  });
});

test("a moment is chosen by mouse, by keys and by typing", async () => {
  await as("olga", async (page) => {
    await page.goto("/machines/files");
    const slider = page.getByRole("slider", { name: "Moment on the timeline" });
    const said = () => slider.getAttribute("aria-valuetext");
    await page.getByText("Point 3").first().waitFor();
    await slider.focus();
    await page.keyboard.press("Home");
    await page.getByText("Point 1", { exact: true }).waitFor();
    const first = await said();
    // A step is a part of what is in view, on a quick machine less than the second that is told; it is told when no key was pressed
    // for a moment.
    for (let steps = 0; steps < 60 && (await said()) === first; steps += 1) {
      for (let keys = 0; keys < 10; keys += 1) await page.keyboard.press("ArrowRight");
      await page.waitForTimeout(300);
    }
    assert.notEqual(await said(), first);
    const wide = await page.locator(".timeline .range").innerText();
    await page.keyboard.press("+");
    await page.waitForFunction((before) => document.querySelector(".timeline .range")?.textContent !== before, wide);
    await page.keyboard.press("End");
    await page.getByText("Point 3", { exact: true }).waitFor();
    const box = await slider.boundingBox();
    await page.mouse.move(box.x + box.width / 2, box.y + 50);
    await page.mouse.wheel(0, 400);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 3, box.y + 50, { steps: 5 });
    await page.mouse.up();
    await page.getByRole("button", { name: "All", exact: true }).click();
    await page.mouse.click(box.x + 3, box.y + 50);
    await page.getByText("Point 1", { exact: true }).waitFor().catch(() => page.getByText("no point at or before").waitFor());
    await page.getByLabel("Moment", { exact: true }).fill("2001-01-01T00:00:00");
    await page.getByRole("button", { name: "Go there" }).click();
    await page.getByText("Point 1", { exact: true }).waitFor();
    assert.match(page.url(), /\?at=/);
    await page.getByRole("button", { name: "Newest" }).click();
    await page.getByText("Point 3", { exact: true }).waitFor();
  });
});

test("files are browsed and downloaded, byte for byte", async () => {
  await as("paul", async (page) => {
    await page.getByRole("link", { name: "files" }).click();
    await page.getByRole("link", { name: "Look inside and restore" }).click();
    const download = async (name) => {
      const [got] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name, exact: true }).click()]);
      return readFileSync(await got.path());
    };
    assert.ok((await download("large.bin")).equals(LARGE));
    assert.equal(String(await download("ünïcödé & spaces.txt")), "names are bytes\n");
    await page.getByRole("button", { name: "letters/" }).click();
    assert.equal(String(await download("offer.txt")), "Twenty servers.\n");
    assert.equal(String(await download("contract.txt")), LETTER);
    assert.equal(await page.getByRole("link", { name: "Enrolments" }).count(), 0, "it is not offered");
  });
});

test("a folder is downloaded as an archive that tar reads, names are found, two moments are compared", async () => {
  await as("paul", async (page) => {
    await page.goto("/machines/files/points/3");
    const [got] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download the folder letters" }).click()]);
    assert.equal(got.suggestedFilename(), "letters.tar");
    const files = world.unpack(await got.path());
    assert.deepEqual([files["contract.txt"], files["offer.txt"], files["new.txt"]], [LETTER, "Twenty servers.\n", "New.\n"]);
    await page.getByLabel("Find a name, here and below").fill("offer");
    await page.getByRole("button", { name: "Find", exact: true }).click();
    await page.getByText("1 found.").waitFor();
    await page.getByRole("button", { name: "letters/offer.txt" }).click();
    await page.getByRole("link", { name: "offer.txt", exact: true }).waitFor();
    await page.getByLabel("Moment to compare with").fill("2001-01-01T00:00:00");
    await page.getByRole("button", { name: "Compare", exact: true }).click();
    await page.getByRole("alert").getByText("There is no point at or before that moment.").waitFor();
    // All three lie in the same second or nearly so: the one before this is meant.
    const { points } = await page.evaluate(async () => (await fetch("/api/v1/machines/files/points")).json());
    const typed = new Date(Date.parse(points[1].time) + 3_600_000).toISOString().slice(0, 19);
    await page.getByLabel("Moment to compare with").fill(typed);
    await page.getByRole("button", { name: "Compare", exact: true }).click();
    await page.getByRole("cell", { name: "/letters/new.txt" }).waitFor();
  });
});

test("a disk is restored into the server's folder, and the command for elsewhere is shown", async () => {
  await as("rita", async (page) => {
    await page.goto("/machines/files/points/2");
    await page.getByText("backstay restore --server").waitFor();
    await page.getByLabel("File", { exact: true }).fill("again.img");
    await page.getByRole("button", { name: "Restore", exact: true }).click();
    await page.getByText("point 2, to again.img: done").waitFor();
    await page.getByRole("link", { name: "Jobs", exact: true }).click();
    await page.getByText("Restore files:files, point 2, to again.img").waitFor();
    await page.getByRole("cell", { name: "done", exact: true }).first().waitFor();
    assert.equal(world.readFrom(world.path("restores/again.img"), "letters/offer.txt"), "Twenty servers.\n");
    await page.goto("/machines/files/points/2");
    await page.getByLabel("File", { exact: true }).fill("again.img");
    await page.getByRole("button", { name: "Restore", exact: true }).click();
    await page.getByRole("alert").getByText("There is a file again.img already.").waitFor();
  });
});

test("whoever may restore one machine sees how far their restore is, and no other jobs", async () => {
  const rita = await world.somebody("rita");
  await as("paul", async (page) => {
    await page.goto("/machines/files/points/1");
    await page.getByLabel("File", { exact: true }).fill("pauls.img");
    await page.getByRole("button", { name: "Restore", exact: true }).click();
    await page.getByText("point 1, to pauls.img: done").waitFor();
    await page.getByRole("link", { name: "All jobs" }).click();
    await page.getByRole("row", { name: /to pauls.img done/ }).waitFor();
    assert.equal(await page.getByRole("heading", { name: "Calendar" }).count(), 0, "it is not offered");
    assert.equal(await page.getByRole("heading", { name: "New job" }).count(), 0, "it is not offered");
  });
  assert.ok((await rita.get("jobs")).length >= 2);
});

test("the machines have an address of their own, and one of nothing helps on", async () => {
  await as("paul", async (page) => {
    await page.goto("/machines");
    await page.getByRole("heading", { name: "Machines" }).waitFor();
    await page.goto("/machiens/files");
    await page.getByRole("heading", { name: "No such page" }).waitFor();
    await page.getByRole("main").getByRole("link", { name: "Machines" }).click();
    await page.getByRole("link", { name: "files" }).waitFor();
    await page.goto("/machines/nowhere");
    await page.getByRole("alert").waitFor();
    await page.screenshot({ path: `${PICTURES}no-machine.png` });
  });
});

test("a job: first its plan, then it, then what came of it", async () => {
  await as("olga", async (page) => {
    await page.getByRole("link", { name: "Jobs" }).click();
    const start = page.getByRole("button", { name: "Start", exact: true });
    await page.getByLabel("Kind").selectOption("reclaim");
    assert.ok(await start.isDisabled(), "nothing is changed unseen");
    await page.getByLabel("Kind").selectOption("check");
    await page.getByText("It reads, and changes nothing.").waitFor();
    await page.getByLabel("Read the data, too").check();
    await start.click();
    await page.getByText("all is well").waitFor();
    await page.getByLabel("Kind").selectOption("reclaim");
    await page.getByRole("button", { name: "Show the plan" }).click();
    await page.getByText("would be freed").waitFor();
  });
});

test("a machine is suspended, and resumed", async () => {
  await as("olga", async (page) => {
    await page.goto("/machines/files");
    await page.getByRole("button", { name: "Suspend" }).click();
    await page.getByLabel("Reason").fill("maintenance");
    await page.getByRole("dialog").getByRole("button", { name: "Suspend" }).click();
    await page.getByText("Suspended until").waitFor();
    await page.getByRole("button", { name: "Resume" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Resume" }).click();
    await page.getByRole("button", { name: "Suspend" }).waitFor();
  });
});

test("a second factor is set up, and asked for", async () => {
  await as("rita", async (page, visitor) => {
    await page.getByRole("link", { name: "My account" }).click();
    const form = page.locator("form", { has: page.getByRole("heading", { name: "Second factor" }) });
    await form.getByLabel("Password").fill(PASSWORD);
    await form.getByRole("button", { name: "Set up an app" }).click();
    await page.getByRole("img", { name: "The secret, for the app's camera" }).waitFor();
    const secret = (await page.locator(".copied code").first().innerText()).trim();
    await page.screenshot({ path: `${PICTURES}totp.png` });
    await page.getByLabel("Code", { exact: true }).fill(totp(secret));
    await page.getByRole("button", { name: "Confirm" }).click();
    await page.getByText("From now on a code is asked for").waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await logIn(page, "rita");
    await page.getByLabel("Code of the second factor").waitFor();
    assert.deepEqual(await visitor.axe(), []);
    await page.screenshot({ path: `${PICTURES}second-factor.png` });
    await page.getByLabel("Code of the second factor").fill(totp(secret, Date.now(), 1));
    await page.getByRole("button", { name: "Log in", exact: true }).click();
    await page.getByRole("heading", { name: "My account" }).waitFor();
  });
});

test("a passkey is made, and is enough alone", async () => {
  await as("olga", async (page, visitor) => {
    const devices = await visitor.context.newCDPSession(page);
    await devices.send("WebAuthn.enable");
    const options = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true };
    await devices.send("WebAuthn.addVirtualAuthenticator", { options: { ...options, automaticPresenceSimulation: true } });
    await page.getByRole("link", { name: "My account" }).click();
    await page.getByLabel("Name of the passkey").fill("this computer");
    await page.getByLabel("Password, for a passkey").fill(PASSWORD);
    await page.getByRole("button", { name: "Make a passkey" }).click();
    await page.getByText("shown last:").waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByRole("button", { name: "With a passkey alone" }).click();
    await page.getByRole("heading", { name: "My account" }).waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await logIn(page, "olga");
    await page.getByRole("heading", { name: "My account" }).waitFor();
    await page.getByRole("button", { name: "Remove the passkey this computer" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove it" }).click();
    await page.getByText("shown last:").waitFor({ state: "detached" });
  });
});

test("a token is made, shown once, and ended", async () => {
  await as("olga", async (page) => {
    await page.getByRole("link", { name: "My account" }).click();
    await page.getByLabel("Name", { exact: true }).fill("monitor");
    await page.getByRole("button", { name: "Make a token" }).click();
    await page.getByText("It is shown this once").waitFor();
    assert.ok((await page.locator(".copied code").innerText()).length > 20);
    await page.getByRole("button", { name: "End token monitor" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "End it" }).click();
    await page.getByText("There are none.").waitFor();
  });
});

test("a lost password is reset, and has to be changed first", async () => {
  let once;
  await as("admin", async (page) => {
    await page.getByRole("link", { name: "People" }).click();
    await page.getByRole("button", { name: "Reset password of paul" }).click();
    await page.getByRole("button", { name: "Reset", exact: true }).click();
    await page.getByText("is shown this once").waitFor();
    once = (await page.locator(".copied code").innerText()).trim();
  });
  const visitor = await Visitor.come(browser, world.url);
  const { page } = visitor;
  await page.goto("/");
  await logIn(page, "paul", once);
  await page.getByRole("heading", { name: "A password of your own" }).waitFor();
  assert.deepEqual(await visitor.axe(), []);
  await page.getByLabel("Password now").fill(once);
  await page.getByLabel("New password").fill(PASSWORD);
  await page.getByRole("button", { name: "Change the password" }).click();
  await page.getByRole("heading", { name: "Machines" }).waitFor();
  assert.deepEqual(visitor.wrongs, []);
  await visitor.leave();
});

test("settings are kept, and the server refuses what makes no sense", async () => {
  await as("admin", async (page) => {
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByLabel("A point at least every so many seconds").fill("86400");
    await page.getByRole("button", { name: "Add a webhook" }).click();
    await page.getByLabel("Address 1").fill("http://127.0.0.1/");
    await page.getByRole("button", { name: "Keep the settings" }).click();
    await page.getByRole("alert").waitFor();
    await page.getByRole("button", { name: "Take away webhook 1" }).click();
    await page.getByRole("button", { name: "Keep the settings" }).click();
    await page.getByText("The settings are kept.").waitFor();
    await page.reload();
    assert.equal(await page.getByLabel("A point at least every so many seconds").inputValue(), "86400");
    await page.getByRole("button", { name: "Send a test alert" }).click();
    await page.getByRole("alert").getByText("The settings name nobody who is told of alerts.").waitFor();
  });
});

test("the audit log tells of all that, with its proof", async () => {
  await as("audrey", async (page) => {
    await page.getByRole("heading", { name: "Audit log" }).waitFor();
    await page.getByText("/audit/verify", { exact: false }).or(page.getByText("backstay audit verify")).first().waitFor();
    await page.getByLabel("Find in what is shown").fill("data.read");
    await page.getByRole("cell", { name: "data.read" }).first().waitFor();
    await page.getByText("large.bin").first().waitFor();
    assert.equal(await page.getByRole("link", { name: "Machines" }).count(), 0, "it is not offered");
  });
});

const shared = { test, as, world: () => world, browser: () => browser, pictures: PICTURES };
cancel(shared);
live(shared);
alerts(shared);
signOn(shared);
keyboard(shared);
dialogs(shared);

const PAGES = {
  admin: ["/", "/alerts", "/jobs", "/space", "/people", "/settings", "/account", "/nowhere"],
  olga: ["/enrolments", "/machines/files", "/jobs"],
  paul: ["/machines/files/points/3"],
  audrey: ["/audit"],
};

for (const colorScheme of ["light", "dark"]) {
  for (const [word, width] of [
    ["wide", 1280],
    ["narrow", 390],
  ]) {
    test(`every page, ${colorScheme} and ${word}: nothing that axe calls serious, nothing beyond the edge`, async () => {
      for (const [name, paths] of Object.entries(PAGES)) {
        await as(
          name,
          async (page, visitor) => {
            for (const path of paths) {
              await page.goto(path);
              await page.getByRole("heading", { level: 1 }).waitFor();
              await page.locator("[aria-busy]").first().waitFor({ state: "detached" });
              await page.waitForTimeout(300);
              const picture = `${path.replaceAll("/", "_").slice(1) || "machines"}-${name}-${colorScheme}-${word}`;
              await page.screenshot({ path: `${PICTURES}${picture}.png`, fullPage: true });
              assert.deepEqual(await visitor.axe(), [], picture);
              assert.equal(await visitor.overflows(), false, picture);
              if (word === "narrow") assert.deepEqual(await visitor.cutTables(), [], picture);
            }
          },
          { colorScheme, width, height: 800 },
        );
      }
    });
  }
}
