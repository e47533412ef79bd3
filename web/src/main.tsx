import { render } from "preact";
import { App } from "./shell/App";
import { applyTheme } from "./shell/theme";
import "./style/tokens.css";
import "./style/base.css";
import "./style/shell.css";
import "./style/canvas.css";
import "./style/editor.css";
import "./style/sudoku.css";
import "./style/wiki.css";

applyTheme();
const page = document.getElementById("page");
if (page) render(<App />, page);
