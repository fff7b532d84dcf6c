"""Headers: what a platform calls the columns of its CSV in German, French and Spanish. Pure.

Moodle, Canvas and Sakai write them in the language of the teacher's account. All further code knows English names only.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

#: the English name of a column -> its names in German, French and Spanish
_TRANSLATED: dict[str, tuple[str, ...]] = {
    "First name": ("Vorname", "Vorname(n)", "Prénom", "Prénom(s)", "Nombre"),
    "Last name": ("Nachname", "Familienname", "Nom", "Nom de famille", "Apellido", "Apellidos", "Apellido(s)"),
    "Full name": ("Vollständiger Name", "Nom complet", "Nombre completo"),
    "Username": ("Anmeldename", "Benutzername", "Kennung", "Nutzername", "Nom d'utilisateur", "Nombre de usuario"),
    "ID number": ("ID-Nummer", "Matrikelnummer", "Numéro d'identification", "Numéro d'étudiant", "Número de ID",
                  "Número de identificación"),
    "Email address": ("E-Mail-Adresse", "E-Mail", "Adresse de courriel", "Adresse e-mail", "Courriel",
                      "Dirección de correo", "Dirección Email", "Dirección de correo electrónico",
                      "Correo electrónico"),
    "Student": ("Studierende", "Studierende:r", "Étudiant", "Étudiant(e)", "Estudiante"),
    "Student ID": ("Studierenden-ID", "Studenten-ID", "ID étudiant", "ID de l'étudiant", "ID de estudiante",
                   "ID del estudiante"),
    "Section": ("Abschnitt", "Sección", "Gruppe", "Gruppen", "Groupe", "Groupes", "Grupo", "Grupos"),
    "Role": ("Rolle", "Rollen", "Rôle", "Rôles", "Rol", "Roles"),
    "Status": ("Statut", "Estado"),
    "Identifier": ("Bezeichner", "Identificador"),
    "Grade": ("Bewertung", "Calificación"),
    "Maximum Grade": ("Bestwertung", "Note maximale", "Calificación máxima"),
}  # fmt: skip


def folded(text: str) -> str:
    """Return a text as names are compared: one Unicode form, small letters, single spaces."""
    text = unicodedata.normalize("NFKC", text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return " ".join(text.split()).casefold()


_ENGLISH = {folded(other): name for name, others in _TRANSLATED.items() for other in others}


def in_english(header: Sequence[str]) -> list[str]:
    """Return a header in which each known German, French or Spanish name is replaced by the English one.

    A name stays as it is if the header has the English one too.
    """
    present = {folded(name) for name in header}
    wanted = [_ENGLISH.get(folded(name), name) for name in header]
    return [name if folded(new) in present else new for name, new in zip(header, wanted, strict=True)]


def as_spoken(name: str) -> str:
    """Return "Last, First" as "First Last"; a name with another number of commas stays as it is."""
    last, comma, first = name.partition(",")
    return f"{first.strip()} {last.strip()}" if comma and first.strip() and "," not in first else name
