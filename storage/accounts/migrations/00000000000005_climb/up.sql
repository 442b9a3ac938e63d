-- What a contestant held in a breakpoint phase, in requests a second, and its climb step by step: it is read when Redis has
-- forgotten the decisions.

ALTER TABLE results ADD COLUMN holds INTEGER CHECK (holds >= 0);
ALTER TABLE results ADD COLUMN climb TEXT CHECK (json_valid(climb));
