"""The web page: HTML, style and modules of JavaScript, sent as they are."""
