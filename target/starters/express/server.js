const express = require("express");

// TEAM is your login name, where the contest asks whose server it is.
const { PORT = 8080, VERSION = "v1", FROM = "EC2", TEAM } = process.env;
const app = express();
app.disable("x-powered-by");
app.disable("etag");

app.get("/healthz", (request, response) => response.end());

app.use((request, response) => {
  // The token of this request: a variable outside would answer with somebody else's.
  response.set({ Token: request.get("Token") ?? "", Version: VERSION, From: FROM, ...(TEAM && { Team: TEAM }) }).end();
});

const server = app.listen(Number(PORT), "0.0.0.0", (error) => {
  if (error) throw error;
  console.log(`listening on ${server.address().port}`);
});
// Five seconds are the default, and generators come back later than that.
server.keepAliveTimeout = 75_000;
process.on("SIGTERM", () => server.close(() => process.exit()));
