"""Notes that their owners keep: a Flask app with the token core, and no database."""

from itertools import count

from flask import Flask, abort, request

from resource_server import CognitoVerifier, ResourceServer, current_principal, require_scope


def create_app(pool_id: str, client_id: str) -> Flask:
    """Make an app that trusts one client of one pool."""
    app = Flask(__name__)
    ResourceServer(app, CognitoVerifier(pool_id, client_ids={client_id}))
    notes: dict[int, tuple[str, str]] = {}
    numbers = count(1)

    @app.get("/notes")
    @require_scope("notes/read")
    def list_notes() -> dict[str, str]:
        own = current_principal.sub
        return {str(number): text for number, (owner, text) in notes.items() if owner == own}

    @app.post("/notes")
    @require_scope("notes/write")
    def add_note() -> tuple[dict[str, int], int]:
        number = next(numbers)
        notes[number] = (current_principal.sub, request.get_data(as_text=True))
        return {"number": number}, 201

    @app.delete("/notes/<int:number>")
    @require_scope("notes/write", groups={"editors"})
    def delete_note(number: int) -> tuple[str, int]:
        if number not in notes:
            abort(404)
        del notes[number]
        return "", 204

    return app
