/* tables that were folded up are measured when they are opened: what scrolls says so, and can be reached with the keyboard */
addEventListener("toggle", () => reach(".wide"), true);
