ALTER TABLE rounds DROP COLUMN late_ms;
