DROP TABLE audit;
DROP TABLE invites;
DROP TABLE sessions;
DROP TABLE users;
