// Calls a running service with the generated types alone: a path, field or status that the
// description does not have is an error of the compiler. Prints what was answered, as JSON.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const [address, username, password] = process.argv.slice(2);
if (!address || !username || !password) throw new Error("usage: call.js ADDRESS USERNAME PASSWORD");

const client = createClient<paths>({ baseUrl: address });
const asForm = { "Content-Type": "application/x-www-form-urlencoded" };

const refused = await client.POST("/users/login", {
  body: { grant_type: "password", username, password: `${password}x` },
  headers: asForm,
});
if (!refused.error) throw new Error("a wrong password signs in");

const signedIn = await client.POST("/users/login", {
  body: { grant_type: "password", username, password },
  headers: asForm,
});
if (!signedIn.data) throw new Error(`no token: ${signedIn.response.status}`);
const token: string = signedIn.data.access_token;
client.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${token}`);
    return request;
  },
});

const made = await client.POST("/randoms", { body: { min_value: 1, max_value: 6 } });
if (!made.data) throw new Error(`no number: ${made.response.status}`);
const num: number = made.data.num;

const listed = await client.GET("/randoms", { params: { query: { limit: 100 } } });
if (!listed.data) throw new Error(`no list: ${listed.response.status}`);
const ids: number[] = listed.data.map((item) => item.id);

const wrong = await client.POST("/randoms", { body: { min_value: 6, max_value: 1 } });
if (!wrong.error) throw new Error("bounds out of order pass");
// One type for all refusals: a sentence, or for 422 a list of faults with their places.
const detail = wrong.error.detail;
const faults: string[] = typeof detail === "string" ? [detail] : detail.map((fault) => fault.msg);

console.log(
  JSON.stringify({
    refused: { status: refused.response.status, detail: refused.error.detail },
    made: { status: made.response.status, id: made.data.id, num },
    listed: { status: listed.response.status, ids },
    wrong: { status: wrong.response.status, faults },
  }),
);
