"""The evidence on the embedded world: questions, their runs, and the page that is written from them."""
