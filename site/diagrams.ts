import { renderMermaidSVG } from 'beautiful-mermaid';

/**
 * A diagram of Mermaid as SVG that stands in a page: its colours are the page's, by the stylesheet, since the policy of the
 * site takes no style that stands in a page. Guards are left out; the text beside it has them.
 */
export function diagram(source: string): string {
  const unguarded = source.replaceAll(/ \[(?!\*)[^\]\n]*\]/g, '');
  return renderMermaidSVG(unguarded)
    .replaceAll(/<style>.*?<\/style>/gs, '')
    .replace(/<svg([^>]*?) style="[^"]*"/, '<svg$1 class="diagram" role="img" aria-label="Diagram"')
    .trim();
}
