"""What the wide world can say beyond the minnow world: openings and closings, a sentence each."""

from __future__ import annotations

#: Name -> the sentence by language. One may stand before the rest of an answer.
OPENINGS: dict[str, dict[str, str]] = {
    "hello": {"en": "Hello there!", "de": "Hallo auch!", "es": "¡Hola otra vez!"},
    "thanks": {"en": "Thanks for asking.", "de": "Danke fürs Fragen.", "es": "Gracias por preguntar."},
    "friend": {
        "en": "My dear friend, listen.",
        "de": "Mein lieber Freund, hör zu.",
        "es": "Mi querido amigo, escucha.",
    },
    "laugh": {"en": "Haha, that is funny!", "de": "Haha, das ist lustig!", "es": "¡Jaja, eso es gracioso!"},
}

#: The same for those that may stand behind it.
CLOSINGS: dict[str, dict[str, str]] = {
    "doubt": {"en": "But I may be wrong.", "de": "Aber ich kann mich irren.", "es": "Pero puedo estar equivocado."},
    "source": {"en": "I read this in a book.", "de": "Das las ich in einem Buch.", "es": "Lo leí en un libro."},
    "warning": {"en": "Please be careful.", "de": "Bitte sei vorsichtig.", "es": "Ten cuidado, por favor."},
    "offer": {"en": "Do you want to know more?", "de": "Willst du mehr wissen?", "es": "¿Quieres saber más?"},
    "opinion": {"en": "What do you think?", "de": "Was denkst du?", "es": "¿Qué piensas tú?"},
    "wish": {"en": "Have a nice day!", "de": "Einen schönen Tag noch!", "es": "¡Que tengas buen día!"},
    "cheer": {"en": "You can do it!", "de": "Du schaffst das!", "es": "¡Tú puedes hacerlo!"},
    "summary": {"en": "In short, that is all.", "de": "Kurz gesagt, das ist alles.", "es": "En resumen, eso es todo."},
    "promise": {"en": "I will gladly help again.", "de": "Ich helfe gern wieder.", "es": "Con gusto ayudaré otra vez."},
    "minute": {"en": "It took me a minute.", "de": "Das dauerte eine Minute.", "es": "Me tomó un minuto."},
}
