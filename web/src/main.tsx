// Where the console begins.
// Never knows: pages.

import { createRoot } from "react-dom/client";
import { App } from "./app/App";
import { beginTheme } from "./app/theme";
import "./style/base.css";
import "./style/frame.css";
import "./style/parts.css";
import "./style/pages.css";

beginTheme();
const root = document.getElementById("root");
if (root !== null) createRoot(root).render(<App />);
