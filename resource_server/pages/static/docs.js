// Starts Swagger UI. What the server tells is in an attribute, since the page has no inline script.
"use strict";

const told = JSON.parse(document.getElementById("swagger-ui").dataset.told);
const dark = matchMedia("(prefers-color-scheme: dark)");

function followColorScheme() {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}

// Each flow begins with its own client, the scopes that it has, and the demo user, if there is one.
// Swagger UI's own initOAuth has one client and one list of scopes for all flows.
function signInPrepared({ React }) {
  return {
    statePlugins: {
      auth: {
        wrapSelectors: {
          // To paste a token comes last, after the ways to get one.
          definitionsToAuthorize: (original) => (...given) =>
            original(...given).sortBy((scheme) => scheme.first().get("type") !== "oauth2"),
        },
      },
    },
    wrapComponents: {
      oauth2: (Original) =>
        class extends Original {
          constructor(props, context) {
            super(props, context);
            const password = props.schema.get("flow") === "password";
            Object.assign(this.state, {
              clientId: this.state.clientId || (password ? told.serviceClient : told.pageClient),
              scopes: this.state.scopes.length ? this.state.scopes : scopesOf(props.schema, password),
              username: this.state.username || (password && told.demoUser ? told.demoUser.username : ""),
            });
          }

          componentDidMount() {
            this.showName();
          }

          componentDidUpdate() {
            this.showName();
          }

          // Swagger UI remembers the name, but begins with an empty field, and has the focus on the
          // last of all fields.
          showName() {
            const field = document.getElementById("oauth_username");
            if (field !== this.field && this.props.schema.get("flow") === "password") {
              this.field = field;
              if (field) {
                field.value = this.state.username;
                requestAnimationFrame(() => beginWith(field));
              }
            }
          }

          render() {
            const signedIn = this.props.authSelectors.authorized().get(this.props.name);
            const hint = told.demoUser && !signedIn ? demoUser(React) : null;
            return React.createElement("div", null, hint, inForm(React, super.render()));
          }
        },
    },
  };
}

// Managed login refuses scopes that are not its own or a resource server's; the rest come from the
// pool's trigger, unasked. With none chosen it grants all that the client may have.
const OF_MANAGED_LOGIN = /^(openid|email|phone|profile|aws\.cognito\.signin\.user\.admin|.+\/.+)$/;

function scopesOf(schema, password) {
  const named = schema.get("allowedScopes") || schema.get("scopes") || new Map();
  return Array.from(named.keys()).filter((scope) => password || OF_MANAGED_LOGIN.test(scope));
}

function beginWith(username) {
  username.closest(".modal-ux-content").scrollTop = 0;
  (username.value ? document.getElementById("oauth_password") : username)?.focus();
}

// In a form, Enter presses its first button, which signs in, and password managers know the fields.
// The page itself sends nothing: Swagger UI does.
function inForm(React, fields) {
  return React.createElement("form", { onSubmit: (event) => event.preventDefault() }, fields);
}

function demoUser(React) {
  const code = (text) => React.createElement("code", null, text);
  return React.createElement(
    "p", { className: "demo" },
    "Emulated pool: sign in as ", code(told.demoUser.username), " with ", code(told.demoUser.password),
  );
}

// Swagger UI adds a header for which browsers ask another origin's leave, that nobody promised.
function plainTokenRequest(request) {
  if (new URL(request.url, location.href).origin !== location.origin) {
    delete request.headers["X-Requested-With"];
  }
  return request;
}

followColorScheme();
dark.addEventListener("change", followColorScheme);
const ui = SwaggerUIBundle({
  dom_id: "#swagger-ui",
  url: told.description,
  oauth2RedirectUrl: new URL(told.redirect, location.href).href,
  plugins: [signInPrepared],
  requestInterceptor: plainTokenRequest,
  validatorUrl: null, // else every description is sent to a stranger's validator
  queryConfigEnabled: false, // ?url= would show a stranger's description under our name
  persistAuthorization: false, // a token ends with the page: storage would keep it for any script
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
});
ui.initOAuth({ usePkceWithAuthorizationCodeGrant: true });
