-- For how long the seconds of a sealed round were not on plan, summed over its generators. NULL is not known.

ALTER TABLE rounds ADD COLUMN late_ms INTEGER CHECK (late_ms >= 0);
