-- How much of a sealed round is valid, summed over its generators, and what the organiser says of one that is not. NULL is
-- not known, or not said.

ALTER TABLE rounds ADD COLUMN seconds INTEGER CHECK (seconds >= 0);
ALTER TABLE rounds ADD COLUMN valid_seconds INTEGER CHECK (valid_seconds >= 0);
ALTER TABLE rounds ADD COLUMN due INTEGER CHECK (due >= 0);
ALTER TABLE rounds ADD COLUMN void INTEGER CHECK (void >= 0);
ALTER TABLE rounds ADD COLUMN ruling TEXT CHECK (ruling IN ('count', 'void', 'replay'));
