/**
 * The default theme, with the colours of diagrams.
 *
 * @module
 */
import DefaultTheme from "vitepress/theme"
import "./style.css"

export default DefaultTheme
