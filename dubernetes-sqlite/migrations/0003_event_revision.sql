-- The revision that an event is about. NULL if it is about none, or was recorded before.
ALTER TABLE events ADD COLUMN revision INTEGER CHECK (revision >= 1);
