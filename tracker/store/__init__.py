"""The store: one small port (`port`), one table of kinds and indexes (`schema`), two adapters (`sqlite`, `mongo`)."""
