# The page of explanations: its parts as bytes, which report_html.c puts together.
EXPLAIN_PAGE := $(addprefix frontends/explain/page.,html css js)
GENERATED_SRC += $(GEN)/explain_page.c
$(GEN)/explain_page.c: $(EXPLAIN_PAGE) frontends/explain/build.mk
	@mkdir -p $(@D)
	@for part in $(EXPLAIN_PAGE); do \
		printf 'const char explain_page_%s[] = {\n' $${part##*.}; od -An -v -tx1 $$part | sed 's/ \(..\)/0x\1,/g'; echo '0};'; \
	done > $@.new && mv $@.new $@
