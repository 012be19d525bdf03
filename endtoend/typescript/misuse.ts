// What must not compile: each line is a mistake that the generated types are there to find.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const client = createClient<paths>({ baseUrl: "http://127.0.0.1" });

// @ts-expect-error: there is no such path
await client.GET("/random");
// @ts-expect-error: a bound is missing
await client.POST("/randoms", { body: { min_value: 1 } });
// @ts-expect-error: bounds are numbers
await client.POST("/randoms", { body: { min_value: "1", max_value: 6 } });
// @ts-expect-error: no method of this path
await client.PUT("/randoms", { body: { min_value: 1, max_value: 6 } });
const { data } = await client.GET("/randoms");
// @ts-expect-error: an item has no such field
data?.[0]?.number;
