"""What a run leaves behind: tables and a summary, written from the journal. `writer` is the door; importing this is cheap."""
