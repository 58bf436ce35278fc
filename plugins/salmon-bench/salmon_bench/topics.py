"""What the writer of templates knows: a few topics, each in plain sentences that can be turned in many ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: (verb, its past, what follows it)
Action = tuple[str, str, str]


@dataclass(frozen=True)
class Topic:
    """Attributes:
    question: the prompt.
    title: in a few words.
    facts: sentences in the present tense, without commas, persons, digits, fillers and hedges; each begins with another
        word, each has 7 to 12 words.
    actions: what is done, in that order.
    other: two sentences by language, de, fr and es.
    """

    question: str
    title: str
    facts: tuple[str, ...]
    actions: tuple[Action, ...]
    other: Mapping[str, tuple[str, str]]


TOPICS = (
    Topic(
        "How is a houseplant kept alive?",
        "Plant care",
        (
            "A houseplant is at its best near a bright window.",
            "Its soil is moist below and dry at the top.",
            "Pots have a hole so that extra water has a way out.",
            "Old leaves are yellow and have no use for the plant.",
            "Cold air from a door is hard on the roots.",
        ),
        (
            ("check", "checked", "the soil each morning"),
            ("water", "watered", "the plant once a week"),
            ("turn", "turned", "the pot toward the window"),
            ("remove", "removed", "the yellow leaves"),
            ("wipe", "wiped", "the dust off with a cloth"),
        ),
        {
            "de": (
                "Die Pflanze steht am besten an einem hellen Fenster und nicht auf der Heizung.",
                "Man gießt sie, wenn die Erde oben trocken ist.",
            ),
            "fr": (
                "La plante est bien dans un endroit clair et pas sur le radiateur.",
                "Il ne faut pas de l'eau tous les jours, mais une fois par semaine.",
            ),
            "es": (
                "La planta se pone en un lugar con luz y no sobre el radiador.",
                "No se riega más que una vez por semana, con el agua de la noche.",
            ),
        },
    ),
    Topic(
        "How is bread baked at home?",
        "Home bread",
        (
            "Bread is flour and water and yeast and salt.",
            "Warm dough is alive and has room to rise.",
            "An oven is hot before the loaf has its turn.",
            "Steam is what makes the crust thin and crisp.",
            "Good loaves have a hollow sound at the base.",
        ),
        (
            ("mix", "mixed", "the flour with warm water"),
            ("knead", "kneaded", "the dough for ten minutes"),
            ("cover", "covered", "the bowl with a towel"),
            ("heat", "heated", "the oven in advance"),
            ("bake", "baked", "the loaf until it is brown"),
        ),
        {
            "de": (
                "Das Brot besteht aus Mehl, Wasser und Hefe und wird mit der Hand geknetet.",
                "Der Teig ruht, bis er doppelt so groß ist.",
            ),
            "fr": (
                "Le pain est fait avec de la farine et de l'eau, et il est cuit dans un four.",
                "La pâte ne se travaille pas vite, elle a du temps.",
            ),
            "es": (
                "El pan se hace con la harina y el agua, y se cuece en el horno.",
                "La masa no se toca más y crece por una hora.",
            ),
        },
    ),
    Topic(
        "How does one learn a song by heart?",
        "Learning songs",
        (
            "Songs are easy to keep when the lines are short.",
            "Rhythm is a rail on which the words have their place.",
            "Morning is a fresh time and the mind is clear.",
            "Each verse has a picture that is hard to forget.",
            "Sleep is the time when the tune has its chance.",
        ),
        (
            ("listen", "listened", "to the first verse"),
            ("repeat", "repeated", "each line aloud"),
            ("clap", "clapped", "along with the rhythm"),
            ("copy", "copied", "the words by hand"),
            ("rest", "rested", "before the next verse"),
        ),
        {
            "de": (
                "Das Lied wird Zeile für Zeile gelernt und nicht auf einmal.",
                "Man singt es laut, wenn man es mit den Händen klopft.",
            ),
            "fr": (
                "La chanson est plus facile avec les mains et dans le calme.",
                "Il ne faut pas aller vite, et une ligne est assez pour un soir.",
            ),
            "es": (
                "La canción se aprende por partes y no de una vez.",
                "El ritmo es lo que más ayuda, y se marca con la mano.",
            ),
        },
    ),
    Topic(
        "How is a bicycle kept in good shape?",
        "Bicycle care",
        (
            "Chains are quiet when they have a little oil.",
            "Full tyres are fast and have more grip.",
            "Brakes are the part that has to work first.",
            "Dry rooms are the best place for the frame.",
            "Rust is slow where the paint has no gap.",
        ),
        (
            ("clean", "cleaned", "the chain with a rag"),
            ("pump", "pumped", "both tyres until they are firm"),
            ("test", "tested", "the brakes on a flat road"),
            ("tighten", "tightened", "the loose bolts"),
            ("park", "parked", "the bicycle under a roof"),
        ),
        {
            "de": (
                "Die Kette wird mit einem Tuch geputzt und nicht mit Wasser.",
                "Man prüft die Reifen und die Bremsen, bei Regen auch den Sattel.",
            ),
            "fr": (
                "La chaîne est nettoyée avec un chiffon et pas avec de l'eau.",
                "Les pneus sont durs, et il ne reste pas de sable sur les freins.",
            ),
            "es": (
                "La cadena se limpia con un trapo y no con el agua.",
                "Los frenos se prueban en una calle sin coches, y el aire se mira más.",
            ),
        },
    ),
    Topic(
        "How does one get ready for an exam?",
        "Exam plans",
        (
            "Plans are good when each day has one small goal.",
            "Tests from last year are the best kind of practice.",
            "Breaks are part of the work and have a purpose.",
            "Noise is a thief that has no place at the desk.",
            "Friends are a help when one of them has a question.",
        ),
        (
            ("collect", "collected", "the notes in one folder"),
            ("answer", "answered", "an old test each evening"),
            ("mark", "marked", "the mistakes in red"),
            ("explain", "explained", "one topic to a friend"),
            ("pack", "packed", "the bag on the evening before"),
        ),
        {
            "de": (
                "Der Plan ist gut, wenn er für den Tag nicht zu groß ist.",
                "Man lernt mit alten Fragen und nicht nur aus dem Buch.",
            ),
            "fr": (
                "Le plan est bon quand il ne demande pas trop pour un jour.",
                "Les questions de la dernière année sont dans le dossier, avec les réponses.",
            ),
            "es": (
                "El plan es bueno si no pide más de lo que cabe en un día.",
                "Los amigos son una ayuda, y una pausa no es tiempo perdido.",
            ),
        },
    ),
    Topic(
        "How does a family save energy at home?",
        "Saving energy",
        (
            "Lamps are off in rooms where nobody is.",
            "Curtains are a shield that the cold has no way through.",
            "Lids are small and have a large effect on a pot.",
            "Heat is lost where a window has a gap.",
            "Full machines are cheap and have less to do.",
        ),
        (
            ("switch", "switched", "the lamps off at night"),
            ("close", "closed", "the curtains after sunset"),
            ("lower", "lowered", "the heat by one step"),
            ("seal", "sealed", "the gaps around the windows"),
            ("load", "loaded", "the machine to the top"),
        ),
        {
            "de": (
                "Das Licht wird aus gemacht, wenn man nicht im Zimmer ist.",
                "Die Fenster sind dicht, und der Topf hat auf dem Herd einen Deckel.",
            ),
            "fr": (
                "La lumière est éteinte quand on n'est pas dans la pièce.",
                "Les rideaux sont fermés le soir, et la machine est pleine.",
            ),
            "es": (
                "La luz se apaga en la sala que no se usa.",
                "Las ventanas se cierran por la noche, y el agua no corre más.",
            ),
        },
    ),
)
#: what two numbers are asked of, in sentences with {a} and {b}
SUMS = (
    "What is {a} plus {b}?",
    "A shelf has {a} red books and {b} blue ones. How many books are there?",
    "Ana has {a} coins and finds {b} more. How many coins are there now?",
    "A bus has {a} people in it and {b} get on. How many people are in the bus?",
)
