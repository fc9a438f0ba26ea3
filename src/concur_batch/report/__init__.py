"""One HTML file that shows what runs came to. `run.collect` reads a journal, `page.write` makes the file. Importing this is cheap."""
