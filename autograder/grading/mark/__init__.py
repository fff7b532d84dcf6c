"""Make the mark: outcomes become points, hints and complaints."""
