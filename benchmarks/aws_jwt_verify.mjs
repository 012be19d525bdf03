// Verifies the same tokens with AWS's own verifier for JavaScript; one JSON line a round.
// Reads {"tokens", "jwks", "userPoolId", "clientId"} from the file it is given.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { CognitoJwtVerifier } from "aws-jwt-verify";

const { tokens, jwks, userPoolId, clientId } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const verifier = CognitoJwtVerifier.create({ userPoolId, clientId, tokenUse: "access" });
verifier.cacheJwks(jwks);
for await (const _ of createInterface({ input: process.stdin })) {
  const begun = process.hrtime.bigint();
  for (const token of tokens) verifier.verifySync(token);
  const nanoseconds = Number(process.hrtime.bigint() - begun);
  console.log(nanoseconds / tokens.length / 1000);
}
