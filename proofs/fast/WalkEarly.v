(** * What a pixel's change leaves, by pixel

    - [early_change_ok]: the change that a unit leaves besides its slope is what it would be without
      pixels told apart, and the entry of [early_change];
    - [early_kept_ok], [rough_ok], [peak_ok]: sums of operands' entries, rounded up; the largest
      entry;
    - [change_ext], [rest_ext], [rounding_ext], [fits_ext]: of rows, only those of the operands
      matter.

    Rests on Walk.v. *)

From Coq Require Import Reals Lra Lia ZArith List Bool FMapPositive Uint63.
From Lastbit Require Import Totals checker.Program checker.Numbers checker.Vectors fast.Walk
  fast.WalkForms.
Import ListNotations.
Open Scope Z_scope.

(** ** Rows of operands *)

Section Ext.
Variables at1 at2 : positive -> row.

Lemma mag_ext j : at1 j = at2 j -> mag at1 j = mag at2 j.
Proof. intros E. unfold mag. now rewrite E. Qed.
Lemma low_ext j : at1 j = at2 j -> low at1 j = low at2 j.
Proof. intros E. unfold low. now rewrite E. Qed.
Lemma high_ext j : at1 j = at2 j -> high at1 j = high at2 j.
Proof. intros E. unfold high. now rewrite E. Qed.
Lemma away_ext m j : at1 j = at2 j -> away at1 m j = away at2 m j.
Proof. intros E. unfold away. now rewrite (low_ext j E), (high_ext j E). Qed.

Lemma products_ext (f : Z * positive -> Z -> Z) ws :
  (forall j, In j (map snd ws) -> at1 j = at2 j) ->
  map (fun w => f w (mag at1 (snd w))) ws = map (fun w => f w (mag at2 (snd w))) ws.
Proof.
  intros H. apply map_ext_in. intros w Hw. now rewrite (mag_ext _ (H _ (in_map snd _ _ Hw))).
Qed.

Lemma counted_ext f g ws : (forall j, In j (map snd ws) -> f j = g j) ->
  counted f ws = counted g ws.
Proof.
  intros H. unfold counted. f_equal. apply map_ext_in. intros w Hw.
  now rewrite (H _ (in_map snd _ _ Hw)).
Qed.

Variable o : cunit.
Hypothesis same : forall j, In j (reads_of o) -> at1 j = at2 j.

Lemma change_ext q mv1 mv2 m : (forall j, In j (reads_of o) -> mv1 j = mv2 j) ->
  change_of at1 q mv1 o m = change_of at2 q mv2 o m.
Proof.
  intros E. destruct o as [p|ws bs [c|]|j|j|i j]; cbn [change_of reads_of In] in *; try reflexivity;
    try (assert (Ei := same i ltac:(tauto))); try (assert (Ej := same j ltac:(tauto))).
  - now rewrite (counted_ext _ _ _ E).
  - now rewrite E, (low_ext _ Ej), (high_ext _ Ej) by tauto.
  - now rewrite E, (low_ext _ Ej), (high_ext _ Ej) by tauto.
  - now rewrite !E, (away_ext _ _ Ej), (mag_ext _ Ei) by tauto.
Qed.

Lemma rest_ext r : rest_of at1 o r = rest_of at2 o r.
Proof.
  unfold rest_of. assert (R : range_of at1 o = range_of at2 o).
  { destruct o as [p|ws bs c|j|j|i j]; cbn [range_of reads_of In] in *; try reflexivity;
      try (assert (Ei := same i ltac:(tauto))); assert (Ej := same j ltac:(tauto)).
    - now rewrite (low_ext _ Ej), (high_ext _ Ej).
    - now rewrite (low_ext _ Ej), (high_ext _ Ej).
    - now rewrite (low_ext _ Ej), (high_ext _ Ej), (low_ext _ Ei), (high_ext _ Ei). }
  assert (V : forall m b, value_rest at1 o m b = value_rest at2 o m b).
  { intros m b. destruct o as [p|ws bs [c|]|j|j|i j]; cbn [value_rest reads_of In] in *;
      try reflexivity;
      try (assert (Ei := same i ltac:(tauto))); try (assert (Ej := same j ltac:(tauto))).
    - now rewrite (counted_ext (mag at1) (mag at2)) by (intros j Hj; apply mag_ext; now apply same).
    - unfold curve_rest. now rewrite (low_ext _ Ej), (high_ext _ Ej), Ej.
    - unfold curve_rest. now rewrite (low_ext _ Ej), (high_ext _ Ej), Ej.
    - now rewrite (away_ext _ _ Ej), (mag_ext _ Ei). }
  now rewrite R, V.
Qed.

Lemma terms_ext ws bs over : (forall j, In j (map snd ws) -> at1 j = at2 j) ->
  zterms at1 ws bs over = zterms at2 ws bs over.
Proof.
  intros H. unfold zterms, zproducts.
  now rewrite (products_ext (fun w x => quotient_of over (Z.abs (fst w) * x)) _ H).
Qed.

Lemma rounding_ext F : rounding_of at1 F o = rounding_of at2 F o.
Proof.
  destruct o as [p|ws bs over|j|j|i j]; cbn [rounding_of reads_of In] in *; try reflexivity;
    try (assert (Ei := same i ltac:(tauto))); try (assert (Ej := same j ltac:(tauto))).
  - rewrite (terms_ext ws bs over same). unfold zcharges.
    now rewrite (products_ext (fun w x =>
      cost_of over (fst w) * quotient_of over (Z.abs (fst w) * x)) _ same).
  - now rewrite (mag_ext _ Ej).
  - now rewrite (mag_ext _ Ej).
  - now rewrite (mag_ext _ Ei), (mag_ext _ Ej).
Qed.

Lemma fits_ext : fits at1 o = fits at2 o.
Proof.
  destruct o as [p|ws bs over|j|j|i j]; cbn [fits reads_of] in *; try reflexivity.
  now rewrite (terms_ext ws bs over same).
Qed.
End Ext.

(** ** Entries for a pixel *)

(** What a list by pixel has for pixel [q]. *)
Definition early_at (l : sparse) (q : nat) : Z :=
  zsum (map (fun x => if (num (snd x) =? q)%nat then fst x else 0) l).

Lemma early_cons x i l q : early_at ((x, i) :: l) q = (if (num i =? q)%nat then x else 0) +
  early_at l q.
Proof. reflexivity. Qed.

Lemma early_real l q : real (early_at l q) = coef l q.
Proof.
  induction l as [|[x i] l IH]; [apply real_0|]. rewrite early_cons, coef_cons, real_plus, IH.
  destruct (num i =? q)%nat; [reflexivity|].
  now rewrite real_0.
Qed.

Lemma up_sum a b : up (a + b) <= up a + up b.
Proof.
  unfold up. rewrite !Z.shiftr_div_pow2 by lia. change (2 ^ 100) with one.
  assert (0 < one) by reflexivity. assert (A := Z.mul_div_le (- a) one ltac:(lia)).
  assert (B := Z.mul_div_le (- b) one ltac:(lia)).
  assert ((- a / one + - b / one) <= - (a + b) / one); [apply Z.div_le_lower_bound|]; lia.
Qed.

Lemma early_times e l q : up (e * early_at l q) <= early_at (Walk.times e l) q.
Proof.
  induction l as [|[x i] l IH]; [unfold early_at; cbn; now rewrite Z.mul_0_r|].
  cbn [Walk.times map fst snd]. fold (Walk.times e l). rewrite !early_cons.
  destruct (num i =? q)%nat; [|exact IH]. rewrite Z.mul_add_distr_l.
  generalize (up_sum (e * x) (e * early_at l q)). lia.
Qed.

Section Early.
Variables (at_ : positive -> row) (m : cells) (q : nat).

(** The change of an operand: what all pixels have in common, and that of pixel [q]. *)
Definition moved (j : positive) : Z := val (c_move (cell_at m j)).
Definition moved_by (j : positive) : Z := moved j + early_at (c_early (cell_at m j)) q.

Lemma moved_plain j : c_early (cell_at m j) = [] -> moved_by j = moved j.
Proof. intros E. unfold moved_by. rewrite E. unfold early_at. cbn. lia. Qed.

Local Open Scope R_scope.

Theorem early_kept_ok kept :
  total (map (fun x => Rabs (real (fst x)) * real (early_at (c_early (cell_at m
  (snd x))) q)) kept) <=
  real (early_at (early_kept m kept) q).
Proof.
  induction kept as [|w kept IH]; [unfold early_at, total; cbn; rewrite real_0; lra|].
  cbn [map early_kept fold_right]. rewrite total_cons. fold (early_kept m kept).
  destruct (c_early (cell_at m (snd w))) as [|x l] eqn:E.
  - change (early_at [] q) with 0%Z. rewrite real_0. lra.
  - rewrite (early_real (merge _ _)), coef_merge, <- !early_real.
    apply Rplus_le_compat; [|exact IH]. rewrite <- real_abs.
    apply Rle_trans with (1 := up_product _ _). apply real_le, early_times.
Qed.

Close Scope R_scope.

Lemma early_merge a b : early_at (merge a b) q = early_at a q + early_at b q.
Proof.
  apply Z.le_antisymm; apply real_le_inv; rewrite real_plus, !early_real, coef_merge;
    apply Rle_refl.
Qed.

(** What is missed of divided weights, for units whose changes depend on the pixel. *)
Lemma counted_early ws : up (counted moved_by ws) <= up (counted moved ws) +
  early_at (early_kept m (ones ws)) q.
Proof.
  set (early j := early_at (c_early (cell_at m j)) q).
  assert (E : counted moved_by ws = counted moved ws + counted early ws).
  { unfold counted, zsum. induction ws as [|w ws IH];
      [reflexivity|]. cbn [map fold_right]. rewrite IH. unfold moved_by.
    fold (early (snd w)). destruct (fst w =? 0); lia. }
  rewrite E. apply Z.le_trans with (1 := up_sum _ _). apply Z.add_le_mono_l. clear E.
  unfold counted.
  induction ws as [|w ws IH]; [reflexivity|]. cbn [map ones early_kept fold_right fst snd].
  change (zsum (?x :: ?l)) with (x + zsum l). fold (ones ws). fold (early_kept m (ones ws)).
  apply Z.le_trans with (1 := up_sum _ _). set (e := if fst w =? 0 then 0 else 1).
  replace (if fst w =? 0 then 0 else early (snd w)) with (Z.abs e * early (snd w)) by (unfold e;
    destruct (fst w =? 0); lia).
  assert (T := early_times (Z.abs e) (c_early (cell_at m (snd w))) q). fold (early (snd w)) in T.
  destruct (c_early (cell_at m (snd w))) as [|x l] eqn:C.
  - unfold early at 1. rewrite C. unfold early_at at 1. cbn [map zsum fold_right].
    rewrite Z.mul_0_r. exact IH.
  - rewrite early_merge. lia.
Qed.

Theorem early_change_ok o s e : early_change at_ m o s = Some e ->
  change_of at_ q moved_by o s <= change_of at_ 0 moved (still o) s + early_at e q.
Proof.
  assert (Some_inv : forall A (x y : A), Some x = Some y -> x = y)
    by (intros A x y H; now injection H).
  assert (None' : forall js,
    forallb (fun j => match c_early (cell_at m j) with [] => true | _ => false end) js = true ->
    forall j, In j js -> moved_by j = moved j).
  { intros js H j Hj. rewrite forallb_forall in H. apply moved_plain. specialize (H j Hj).
    now destruct (c_early (cell_at m j)). }
  assert (Plain : forall o, still o = o -> reads_of o <> [] \/ True ->
    (if forallb (fun j => match c_early (cell_at m j) with [] => true | _ => false end)
      (reads_of o) then Some [] else None) = Some e ->
    change_of at_ q moved_by o s <= change_of at_ 0 moved o s + early_at e q).
  { intros o' So _ H. destruct (forallb _ _) eqn:E in H; [|discriminate]. apply Some_inv in H.
    subst e. unfold early_at. cbn [map zsum fold_right].
    rewrite (change_ext at_ at_ o' (fun _ _ => eq_refl) q moved_by moved s (None' _ E)).
    destruct o'; try discriminate; cbn [change_of]; lia. }
  destruct o as [p|ws bs c|j|j|i j]; cbn [early_change]; intros H;
    try (apply (Plain _ eq_refl (or_intror I) H)).
  - apply Some_inv in H. subst e. cbn [change_of still]. rewrite early_cons, num_key.
    unfold early_at. cbn. destruct (p =? q)%nat; lia.
  - apply Some_inv in H. subst e. destruct c as [c|]; [exact (counted_early ws)|reflexivity].
  - apply Some_inv in H. subst e. cbn [change_of still]. unfold moved_by. set (d := silu_dev _ _ _).
    rewrite Z.mul_add_distr_l.
    generalize (up_sum (d * moved j) (d * early_at (c_early (cell_at m j)) q))
      (early_times d (c_early (cell_at m j)) q).
    lia.
Qed.

End Early.

Lemma rough_ok l q : early_at l q <= early_at (rough l) q.
Proof.
  induction l as [|[x i] l IH]; [apply Z.le_refl|]. cbn [rough map fst snd]. fold (rough l).
  rewrite !early_cons. destruct (num i =? q)%nat; [|exact IH].
  rewrite Z.shiftl_mul_pow2, Z.shiftr_div_pow2 by lia.
  generalize (Z.mul_div_le (- x) (2 ^ 60) ltac:(lia)). lia.
Qed.

Lemma early_pos l q : all_nonneg l = true -> 0 <= early_at l q.
Proof.
  induction l as [|[x i] l IH]; [easy|]. cbn [all_nonneg forallb fst].
  rewrite andb_true_iff, Z.leb_le. intros [H1 H2]. rewrite early_cons. specialize (IH H2).
  destruct (num i =? q)%nat; lia.
Qed.

Lemma early_beyond p l q : ascending_from p l = true -> (num (key q) <= num p)%nat ->
  early_at l q = 0.
Proof.
  revert p. induction l as [|[x i] l IH]; intros p; [easy|]. cbn [ascending_from].
  rewrite andb_true_iff, Pos.ltb_lt. intros [H1 H2] Hq. apply num_lt in H1. rewrite num_key in Hq.
  rewrite early_cons, (IH i H2) by (rewrite num_key; lia). destruct (Nat.eqb_spec (num i) q); lia.
Qed.

Lemma peak_pos l : 0 <= peak l.
Proof. induction l as [|x l IH]; cbn [peak fold_right]; [lia|]. fold (peak l). lia. Qed.

Theorem peak_ok l q : ascending l = true -> early_at l q <= peak l.
Proof.
  assert (G : forall l p, ascending_from p l = true -> early_at l q <= peak l).
  { clear. induction l as [|[x i] l IH]; intros p; [easy|].
    cbn [ascending_from peak fold_right fst]. fold (peak l). rewrite andb_true_iff. intros [_ H].
    assert (P := peak_pos l). rewrite early_cons. destruct (Nat.eqb_spec (num i) q) as [E|E].
    - rewrite (early_beyond i) by (try assumption; rewrite num_key; lia). lia.
    - generalize (IH i H). lia. }
  destruct l as [|[x i] l]; [intros _; apply peak_pos|]. cbn [ascending]. intros H.
  assert (P := peak_pos l). cbn [peak fold_right fst]. fold (peak l). rewrite early_cons.
  destruct (Nat.eqb_spec (num i) q) as [E|E].
  - rewrite (early_beyond i) by (try assumption; rewrite num_key; lia). lia.
  - generalize (G l i H). lia.
Qed.
