(** * From facts of single units to the statement

    - [facts_valid]: if [unit_facts] hold of all units, the annotation is [valid];
    - [facts_sound]: and so the statement holds with [upper_of], for any checker, wherever it keeps
      its columns and its numbers for each pixel;
    - [full_facts], [stripped_sound]: facts of a unit without its terms of weight 0 are facts of
      the whole unit, if it has not too many terms.

    Rests on Rows.v, Roundings.v and Bound.v. Stands behind check.py, for every checker here. *)

From Coq Require Import Reals Lra Lia ZArith List Bool.
From Lastbit Require Import Statement Totals curves.Softmax curves.Probabilities operations.Units.
From Lastbit Require Import network.Duals network.Forms network.Bound.
From Lastbit Require Import checker.Program checker.Numbers checker.Vectors checker.Annotation
  checker.Curves.
From Lastbit Require Import checker.SumRoundings checker.Roundings checker.Sloped checker.Rows.
Import ListNotations.
Open Scope R_scope.

(** ** Units without terms of weight 0 *)

Definition few_terms (o : cunit) : Prop :=
  match o with CLinear ws bs _ => (Z.of_nat (length ws + length bs) <= most_terms)%Z | _ =>
    True end.

Local Notation keep := (filter (fun w : Z * positive => negb (fst w =? 0)%Z)).

Lemma coef_keep ws j : coef (keep ws) j = coef ws j.
Proof.
  induction ws as [|[w i] ws IH]; [reflexivity|]. cbn [filter fst].
  destruct (Z.eqb_spec w 0) as [->|N]; cbn [negb];
    rewrite !coef_cons, IH; [|reflexivity]. rewrite real_0. destruct (num i =? j)%nat; lra.
Qed.

Lemma core_strip o m j : coef (core_of (strip o) m) j = coef (core_of o m) j.
Proof.
  destruct o as [|ws bs [c|]| | |]; try reflexivity; cbn [strip core_of shares]; [|apply coef_keep].
  induction ws as [|[w i] ws IH]; [reflexivity|]. cbn [filter fst].
  destruct (Z.eqb_spec w 0) as [->|N]; cbn [negb map fst snd];
    rewrite !coef_cons, IH; [|reflexivity]. rewrite Z.mul_0_l, Zdiv_0_l, real_0.
    destruct (num i =? j)%nat; lra.
Qed.

Lemma kept_strip o r j : coef (kept_of (strip o) r) j = coef (kept_of o r) j.
Proof. unfold kept_of. destruct (r_box r); [reflexivity|apply core_strip]. Qed.

(** Sums over the terms of weight 0. *)
Lemma sum_keep (f : Z * positive -> Z) ws : (forall j, f (0%Z, j) = 0%Z) ->
  zsum (map f (keep ws)) = zsum (map f ws).
Proof.
  intros H. unfold zsum. induction ws as [|[w j] ws IH]; [reflexivity|]. cbn [filter fst].
  destruct (Z.eqb_spec w 0) as [->|N]; cbn [negb map fold_right]; rewrite IH;
    [now rewrite H|reflexivity].
Qed.

Lemma zsum_app a b : zsum (a ++ b) = (zsum a + zsum b)%Z.
Proof.
  unfold zsum. induction a as [|x a IH]; cbn [app fold_right]; [reflexivity|]. rewrite IH. ring.
Qed.

Section Strip.
Variable at_ : positive -> row.

Lemma quotient_zero over : quotient_of over 0 = 0%Z.
Proof.
  destruct over as [c|]; [|reflexivity]. unfold quotient_of, ceil_div. now rewrite Zdiv_0_l.
Qed.

Lemma zcharges_keep ws over : zcharges at_ (keep ws) over = zcharges at_ ws over.
Proof.
  apply sum_keep. intros j. cbn [fst snd Z.abs]. rewrite Z.mul_0_l, quotient_zero. apply Z.mul_0_r.
Qed.

Lemma terms_keep ws bs over : filter (fun x => negb (x =? 0)%Z) (zterms at_ (keep ws) bs over) =
  filter (fun x => negb (x =? 0)%Z) (zterms at_ ws bs over).
Proof.
  unfold zterms. rewrite !filter_app. f_equal. unfold zproducts.
  induction ws as [|[w j] ws IH]; [reflexivity|]. cbn [filter fst].
  destruct (Z.eqb_spec w 0) as [->|N]; cbn [negb map filter fst snd]; [|now rewrite IH].
  cbn [Z.abs]. now rewrite Z.mul_0_l, quotient_zero, IH.
Qed.

Lemma rounding_strip F o : rounding_of at_ F (strip o) = rounding_of at_ F o.
Proof.
  destruct o; try reflexivity. cbn [strip rounding_of]. unfold noise_of_sum.
  now rewrite terms_keep, zcharges_keep.
Qed.

Lemma fits_strip o : few_terms o -> fits at_ (strip o) = true -> fits at_ o = true.
Proof.
  destruct o as [|ws bs over| | |]; try easy. cbn [few_terms strip fits]. unfold sum_fits.
  rewrite !andb_true_iff, !Z.leb_le.
  intros H [[[_ W] S] O]. rewrite (sum_keep (fun w => Z.abs (fst w))) in W, O by reflexivity.
  repeat split; [|exact W| |exact O].
  - unfold zterms, zproducts. now rewrite length_app, !length_map.
  - revert S. unfold zterms. rewrite !zsum_app. unfold zproducts. rewrite sum_keep; [easy|].
    intros j. cbn [fst snd Z.abs]. now rewrite Z.mul_0_l, quotient_zero.
Qed.

Lemma counted_keep f ws : counted f (keep ws) = counted f ws.
Proof.
  unfold counted, zsum. induction ws as [|[w j] ws IH]; [reflexivity|]. cbn [filter fst].
  destruct (Z.eqb_spec w 0) as [->|N]; cbn [negb map fold_right fst snd]; rewrite IH; reflexivity.
Qed.

Lemma rest_strip o r : rest_of at_ (strip o) r = rest_of at_ o r.
Proof.
  destruct o as [|ws bs [c|]| | |]; try reflexivity. unfold rest_of.
  cbn [strip range_of value_rest]. now rewrite counted_keep.
Qed.
Lemma change_strip q mv o m : change_of at_ q mv (strip o) m = change_of at_ q mv o m.
Proof.
  destruct o as [|ws bs [c|]| | |]; try reflexivity. cbn [strip change_of].
  now rewrite counted_keep.
Qed.
Lemma bend_strip q mv o r : bend_by at_ q mv (strip o) r = bend_by at_ q mv o r.
Proof. unfold bend_by. now rewrite !change_strip. Qed.
End Strip.

Lemma box_strip o : may_box (strip o) = may_box o. Proof. now destruct o. Qed.
Lemma offset_strip o b : offset_of (strip o) b = offset_of o b. Proof. now destruct o. Qed.

Lemma local_error_ext b L L' c A rest err k : (forall j, L k j = L' k j) ->
  local_error b L c A rest err k -> local_error b L' c A rest err k.
Proof.
  intros E. unfold local_error, read_through.
  rewrite (over_ext k (fun j => L k j * c j) (fun j => L' k j * c j)) by (intros; now rewrite E).
  rewrite (over_ext k (fun g => Rabs (misfit L A k g) * err g) (fun g =>
    Rabs (misfit L' A k g) * err g)); [easy|].
  intros g _. unfold misfit. do 3 f_equal. apply over_ext. intros. now rewrite E.
Qed.

Lemma unit_facts_strip net d k o : few_terms o -> unit_facts net d k o (strip o) ->
  unit_facts net d k o o.
Proof.
  intros T [H1 (F & W1 & W2 & W3 & W4) H3 H4 H5 H6 H7 H8 H9 H10 H11 H12 H13 H14].
  split; try assumption.
  - exists F. rewrite rounding_strip in W4. apply (fits_strip _ _ T) in W3. now repeat split.
  - now rewrite rest_strip in H4.
  - intros B. rewrite <- box_strip. now apply H5.
  - intros q Hq. rewrite <- change_strip. now apply H6.
  - intros q Hq. rewrite <- bend_strip. now apply H7.
  - rewrite offset_strip in H13. revert H13. apply local_error_ext. intros. apply kept_strip.
  - intros q Hq. generalize (H14 q Hq). apply local_error_ext. intros. apply kept_strip.
Qed.

Lemma full_facts net d :
  (forall k o, nth_error (cunits net) k = Some o -> few_terms o /\
    unit_facts net d k o (strip o)) ->
  forall k o, nth_error (cunits net) k = Some o -> unit_facts net d k o o.
Proof. intros facts k o E. destruct (facts k o E). now apply unit_facts_strip. Qed.

(** ** The network *)

Theorem facts_valid net d bound :
  (forall k o, nth_error (cunits net) k = Some o -> unit_facts net d k o o) ->
  (forall l, In l (clogits net) -> (num l < length (cunits net))%nat) ->
  (length (clogits net) <= 2 ^ 14)%nat ->
  (forall q c j, (q < cpixels net)%nat -> (c < length (clogits net))%nat ->
    (j < length (clogits net))%nat ->
    logit_bound (network_of net) (annotation_of net d) q c j <= bound) ->
  valid (network_of net) (annotation_of net d) bound.
Proof.
  intros facts Lg Few Bd.
  assert (N : length (units (network_of net)) = length (cunits net)) by apply length_map.
  split; cbn [logits pixels network_of]; rewrite ?N, ?length_map; try assumption.
  - intros k o E i Hi. apply units_nth in E. destruct E as [Hk ->]. rewrite operands_denote in Hi.
    apply in_map_iff in Hi. destruct Hi as (p & <- & Hp). now apply (reads_below net d facts k Hk).
  - intros k o E. apply units_nth in E. destruct E as [Hk ->].
    destruct (roundings_ok net d facts k Hk) as (F & W & R). exists (claimed d), F.
    split; [|now split]. intros i Hi. rewrite operands_denote in Hi.
    apply in_map_iff in Hi. destruct Hi as (p & <- & Hp). apply (magnitude_ok net d facts).
    generalize (reads_below net d facts k Hk p Hp). lia.
  - intros k o E. apply units_nth in E. destruct E as [Hk ->]. now apply values_unit.
  - intros k o E. apply units_nth in E. destruct E as [Hk ->]. now apply changes_unit.
  - intros k Hk. exact (f_errors _ _ _ _ _ (facts_at net d facts k Hk)).
  - intros q k Hq Hk. exact (f_owns _ _ _ _ _ (facts_at net d facts k Hk) q Hq).
  - intros c Hc. unfold logit. cbn [logits network_of]. change 0%nat with (num 1). rewrite map_nth.
    assert (L := Lg _ (nth_In _ 1%positive Hc)). split; [exact L|].
    generalize (magnitude_ok net d facts _ L) (mag_limit net d facts _ L). unfold largest. lra.
Qed.

Lemma softmax_part_ok N : 2 * softmax_error N <= real (softmax_part (Z.of_nat N)).
Proof.
  unfold softmax_part. apply Rle_trans with (2 := ceil_div_unit _ (10 * 0x2000000) eq_refl). right.
  unfold softmax_error, theta. rewrite u_is, INR_IZR_INZ. unfold real.
  rewrite !mult_IZR, plus_IZR, !mult_IZR, !plus_IZR, mult_IZR, one_is. field.
Qed.

(** [bound] is R, [upper] is U. *)
Theorem valid_sound net ann bound upper : valid net ann (real bound) -> (0 <= bound)%Z ->
  (upper_of (Z.of_nat (length (logits net))) bound <= upper)%Z ->
  always_finite net /\ last_bit_bound net (real upper).
Proof.
  intros V Hb U. destruct (valid_bound _ _ _ V) as [Fin B]. split; [exact Fin|].
  intros v v' q x x' p p' c y y' Hv Hq Hn Hx Hx' Hc Ey Ey'.
  apply Rle_trans with (2 := real_le _ _ U). unfold upper_of. rewrite real_min, real_one, real_plus.
  apply Rmin_glb.
  - assert (P := probability_01 _ _ _ (proj2 Hx) c y Hc Ey).
    assert (P' := probability_01 _ _ _ (proj2 Hx') c y' Hc Ey'). unfold Rabs.
    destruct Rcase_abs; lra.
  - apply Rle_trans with (1 := B v v' q x x' p p' c y y' Hv Hq Hn Hx Hx' Hc Ey Ey').
    generalize (tanh_part_ok bound Hb) (softmax_part_ok (length (logits net))). lra.
Qed.

Section Sound.
Variables (net : cnet) (d : numbers) (bound upper : Z).
Hypothesis Lg : forall l, In l (clogits net) -> (num l < length (cunits net))%nat.
Hypothesis Few : (length (clogits net) <= 2 ^ 14)%nat.
Hypothesis Bd : forall q c j, (q < cpixels net)%nat -> (c < length (clogits net))%nat ->
  (j < length (clogits net))%nat ->
  logit_bound (network_of net) (annotation_of net d) q c j <= real bound.
Hypothesis Hb : (0 <= bound)%Z.
Hypothesis U : (upper_of (Z.of_nat (length (clogits net))) bound <= upper)%Z.

Theorem facts_sound : (forall k o, nth_error (cunits net) k = Some o -> unit_facts net d k o o) ->
  always_finite (network_of net) /\ last_bit_bound (network_of net) (real upper).
Proof.
  intros facts.
  apply (valid_sound _ _ bound) with (1 := facts_valid net d _ facts Lg Few Bd) (2 := Hb).
  cbn [logits network_of]. now rewrite length_map.
Qed.

Theorem stripped_sound :
  (forall k o, nth_error (cunits net) k = Some o -> few_terms o /\
    unit_facts net d k o (strip o)) ->
  always_finite (network_of net) /\ last_bit_bound (network_of net) (real upper).
Proof. intros facts. now apply facts_sound, full_facts. Qed.
End Sound.
