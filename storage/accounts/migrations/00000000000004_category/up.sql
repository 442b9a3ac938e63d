-- In which category a team competes, such as student: shown on the board. How its people are reached: for organisers alone.

ALTER TABLE users ADD COLUMN category TEXT CHECK (length(category) BETWEEN 1 AND 30);
ALTER TABLE users ADD COLUMN contact TEXT CHECK (length(contact) BETWEEN 1 AND 200);
