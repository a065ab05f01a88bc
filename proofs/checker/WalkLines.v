(** * The lines of the fast checker stand for what they are made of

    - [mixed_ok]: a line made of others is off by no more than [mixed] says;
    - [columns_ok]: so are the columns of a unit;
    - [base_ok]: and the line that readers of a base see.

    Rests on LineSums.v and Walk.v. Stands behind columns.py. *)

From Coq Require Import Reals Lra Lia ZArith List Bool FMapPositive Uint63 Sint63.
From Lastbit Require Import Totals checker.Program checker.Numbers checker.Walk checker.LineSums checker.Stored.
From Lastbit Require Import checker.LineKeys checker.WalkForms.
Import ListNotations.
Open Scope R_scope.

(** A number on the grid of lines. *)
Lemma grained f : f_n f = 17%nat -> real (val f) = IZR (signed (f_int f)) / 2 ^ 32.
Proof.
  intros E. unfold val, real. rewrite E, Z.shiftl_mul_pow2, mult_IZR by lia. change (2 ^ (4 * Z.of_nat 17))%Z with (2 ^ 68)%Z.
  replace (IZR (2 ^ 68)) with (2 ^ 68)%R by (simpl; lra). unfold signed. field.
Qed.

(** Numbers of lines, as real numbers. *)
Definition mark (s : stored) (g : nat) : R := IZR (value s g) / 2 ^ 32.

Definition mass (s : stored) : Z := (Uint63.to_Z (s_low s) + Uint63.to_Z (s_high s))%Z.
Lemma mass_pos s : (0 <= mass s)%Z.
Proof. unfold mass. generalize (Uint63.to_Z_bounded (s_low s)) (Uint63.to_Z_bounded (s_high s)). lia. Qed.

Lemma size_real s : real (size s) = IZR (mass s) / 2 ^ 32.
Proof.
  unfold size, real, grain. fold (mass s). rewrite Z.shiftl_mul_pow2, mult_IZR by lia.
  change (2 ^ (100 - 32))%Z with (2 ^ 68)%Z.
  replace (IZR (2 ^ 68)) with (2 ^ 68)%R by (simpl; lra). field.
Qed.

Lemma mark_norm B k s n : good B k s -> over n (fun g => Rabs (mark s g)) <= real (size s).
Proof.
  intros G. rewrite size_real. unfold mass. assert (N := norm_ok B k s n G).
  apply Rle_trans with (/ 2 ^ 32 * over n (fun g => Rabs (IZR (value s g)))); [|lra].
  rewrite <- over_scale. apply over_le. intros g _. unfold mark, Rdiv. rewrite Rabs_mult, (Rabs_pos_eq (/ 2 ^ 32)); lra.
Qed.

Lemma combine_map {A B} (f : A -> B) l : combine l (map f l) = map (fun x => (x, f x)) l.
Proof. induction l as [|x l IH]; [reflexivity|]. cbn. now rewrite IH. Qed.

(** |a| over 2^200 times the size of a line, as the program rounds it. *)
Lemma weighed a s : IZR (Z.abs a) / 2 ^ 100 / 2 ^ 100 * real (size s) <= real (up (up (Z.abs a) * size s)).
Proof.
  apply Rle_trans with (2 := up_product _ _). apply Rmult_le_compat_r.
  - rewrite size_real. assert (P := IZR_le _ _ (mass_pos s)). apply Rmult_le_pos; lra.
  - apply up_real.
Qed.

Lemma double_abs a : Rabs (IZR a / 2 ^ 100 / 2 ^ 100) = IZR (Z.abs a) / 2 ^ 100 / 2 ^ 100.
Proof. unfold Rdiv. now rewrite !Rabs_mult, abs_IZR, (Rabs_pos_eq (/ 2 ^ 100)) by lra. Qed.

Lemma some_pair {A B} (a c : A) (b d : B) : Some (a, b) = Some (c, d) -> a = c /\ b = d.
Proof. intros H. inversion H. now split. Qed.

Section Lines.
Variables (boundary : int) (k : nat) (base : nat -> Prop).

(** Good, with entries for bases only. *)
Definition fine (s : stored) : Prop := good boundary k s /\ keyed base (s_line s).

Lemma gap_times n a s : fine s -> over n (fun g => Rabs (a * mark s g)) <= Rabs a * real (size s).
Proof.
  intros G. apply Rle_trans with (Rabs a * over n (fun g => Rabs (mark s g))).
  - rewrite <- over_scale. right. apply over_ext. intros. apply Rabs_mult.
  - apply Rmult_le_compat_l; [apply Rabs_pos|]. now apply mark_norm with (1 := proj1 G).
Qed.

Lemma count_real s : IZR (Uint63.to_Z (s_count s)) / 2 / 2 ^ 32 <= real (Z.shiftl (Uint63.to_Z (s_count s)) (100 - grain)).
Proof.
  unfold real, grain. rewrite Z.shiftl_mul_pow2, mult_IZR by lia. change (2 ^ (100 - 32))%Z with (2 ^ 68)%Z.
  replace (IZR (2 ^ 68)) with (2 ^ 68)%R by (simpl; lra).
  assert (P := IZR_le _ _ (proj1 (Uint63.to_Z_bounded (s_count s)))). lra.
Qed.

Definition blend (l : list (Z * stored)) (g : nat) : R :=
  total (map (fun x => IZR (fst x) / 2 ^ 100 / 2 ^ 100 * mark (snd x) g) l).

(** The factor of a line that stands for [2^h] times a sum. *)
Definition part (h : Z) : R := real (Z.shiftl 1 (100 - h)).

Lemma part_is h : (0 <= h <= 99)%Z -> part h * IZR (2 ^ h) = 1.
Proof.
  intros H. unfold part, real. rewrite Z.shiftl_mul_pow2, Z.mul_1_l by lia.
  assert (E : IZR (2 ^ (100 - h)) * IZR (2 ^ h) = 2 ^ 100); [|lra].
  rewrite <- mult_IZR, <- Z.pow_add_r by lia. replace (100 - h + h)%Z with 100%Z by lia. simpl. lra.
Qed.

Lemma mixed_ok h l s off : Forall (fun x => fine (snd x)) l -> mixed boundary h l = Some (s, off) ->
  fine s /\ forall n, over n (fun g => Rabs (blend l g - part h * mark s g)) <= real off.
Proof.
  intros G. unfold mixed. set (e := Z.min 40 _). destruct (_ || _) eqn:E; [discriminate|].
  rewrite !orb_false_iff, !Z.ltb_ge in E. destruct E as [[E1 E2] E3].
  set (n := (200 - e - h)%Z). set (f := fun x : Z * stored => (of_Z (Z.shiftr (fst x + Z.shiftl 1 (n - 1)) n), snd x)).
  assert (E40 : (0 <= e <= 40)%Z) by (unfold e in *; lia). assert (Hn : (0 <= n)%Z) by lia.
  destruct (combined boundary (of_Z e) (map f l)) as [s'|] eqn:C; [|discriminate]. intros Q. apply some_pair in Q.
  destruct Q as [<- <-].
  assert (Gf : Forall (fun t => fine (snd t)) (map f l)).
  { apply Forall_forall. intros x Hx. apply in_map_iff in Hx. destruct Hx as (y & <- & Hy). cbn [f snd].
    rewrite Forall_forall in G. now apply G. }
  assert (Gg : Forall (fun t => good boundary k (snd t)) (map f l)).
  { apply Forall_impl with (2 := Gf). intros t T. apply T. }
  split; [split; [now apply combined_good with (2 := C)|]|].
  { apply combined_keyed with (2 := C). apply Forall_impl with (2 := Gf). intros t T. apply T. }
  intros m. assert (V := combined_value _ _ _ _ _ m Gg C).
  assert (Te : Uint63.to_Z (of_Z e) = e).
  { rewrite Uint63.of_Z_spec. apply Z.mod_small. unfold wB, size. simpl. lia. }
  rewrite Te in V. set (P := IZR (2 ^ e)) in *. assert (P0 : 0 < P) by (apply IZR_lt, Z.pow_pos_nonneg; lia).
  assert (K := part_is h ltac:(lia)). set (F := part h) in *.
  assert (H0 : 0 < IZR (2 ^ h)) by (apply IZR_lt, Z.pow_pos_nonneg; lia). assert (F0 : 0 < F) by nra.
  assert (P2 : F / P = IZR (2 ^ n) / 2 ^ 100 / 2 ^ 100).
  { assert (IZR (2 ^ n) * (P * IZR (2 ^ h)) = 2 ^ 100 * 2 ^ 100).
    { unfold P. rewrite <- !mult_IZR, <- !Z.pow_add_r by lia. replace (n + (e + h))%Z with 200%Z by lia. simpl. lra. }
    replace F with (/ IZR (2 ^ h)) by (apply (Rmult_eq_reg_r (IZR (2 ^ h))); [rewrite K; field|]; lra).
    apply (Rmult_eq_reg_r (P * IZR (2 ^ h))); [|nra]. field_simplify; [|lra..]. nra. }
  rewrite combine_map, map_map. cbn [fst snd].
  assert (S : forall g, Rabs (blend l g - F * mark s' g) <=
    total (map (fun x => Rabs ((IZR (fst x) / 2 ^ 100 / 2 ^ 100 - IZR (signed (fst (f x))) * (F / P)) * mark (snd x) g)) l) +
    F * / 2 ^ 32 * Rabs (IZR (value s' g) - IZR (combination (map f l) g) / P)).
  { intros g. set (y := IZR (combination (map f l) g) / P).
    assert (Y : F * (y / 2 ^ 32) = total (map (fun x => IZR (signed (fst (f x))) * (F / P) * mark (snd x) g) l)).
    { unfold y, combination. rewrite zsum_number, map_map, map_map.
      transitivity (F / P / 2 ^ 32 * total (map (fun x => IZR (signed (fst (f x)) * value (snd (f x)) g)) l)); [field; lra|].
      rewrite <- total_scale. apply total_map_ext. intros x _. rewrite mult_IZR. unfold mark.
      change (snd (f x)) with (snd x). field. lra. }
    replace (blend l g - F * mark s' g) with ((blend l g - F * (y / 2 ^ 32)) + - (F * / 2 ^ 32 * (IZR (value s' g) - y)))
      by (unfold mark; field).
    apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_Ropp, (Rabs_mult (F * _)), (Rabs_pos_eq (F * / 2 ^ 32)) by lra.
    apply Rplus_le_compat_r. rewrite Y. unfold blend. rewrite total_diff. apply Rle_trans with (1 := total_abs _ _). right.
    apply total_map_ext. intros x _. f_equal. ring. }
  apply Rle_trans with (1 := over_le _ _ _ (fun g _ => S g)). rewrite over_plus, over_scale, over_total, real_plus.
  apply Rplus_le_compat.
  2: { apply Rle_trans with (2 := up_product _ _). fold (part h). fold F. assert (Cr := count_real s').
    apply (Rmult_le_compat_l F) in Cr; [|lra]. apply (Rmult_le_compat_l (F * / 2 ^ 32)) in V; lra. }
  rewrite zsum_real, map_map. apply total_map_le. intros x Hx. rewrite Forall_forall in G.
  apply Rle_trans with (1 := gap_times m _ _ (G x Hx)). apply Rle_trans with (2 := weighed _ _).
  apply Rmult_le_compat_r.
  { rewrite size_real. assert (N := IZR_le _ _ (mass_pos (snd x))). apply Rmult_le_pos; lra. }
  right. rewrite <- double_abs, minus_IZR, Z.shiftl_mul_pow2, mult_IZR, P2 by lia.
  change (Sint63.to_Z (fst (f x))) with (signed (fst (f x))). f_equal. field.
Qed.

(** ** The columns of a unit *)

Lemma merge_total (f : positive -> R) a b :
  total (map (fun y => IZR (fst y) * f (snd y)) (merge a b)) =
  total (map (fun y => IZR (fst y) * f (snd y)) a) + total (map (fun y => IZR (fst y) * f (snd y)) b).
Proof.
  set (F := fun l : sparse => total (map (fun y => IZR (fst y) * f (snd y)) l)). change (F (merge a b) = F a + F b).
  assert (C : forall x i l, F ((x, i) :: l) = IZR x * f i + F l) by reflexivity. assert (N : F [] = 0) by reflexivity.
  revert b. induction a as [|[x i] a IHa]; [intros b; rewrite N; cbn [merge]; lra|].
  induction b as [|[y i'] b IHb]; [rewrite N; cbn [merge]; lra|].
  cbn [merge]. destruct (Pos.compare_spec i i') as [->|H|H].
  - rewrite !C, IHa, plus_IZR. lra.
  - rewrite C, IHa, !C. lra.
  - rewrite C. change (F (merge ((x, i) :: a) b) = F ((x, i) :: a) + F b) in IHb. cbn [merge] in IHb. rewrite IHb, !C. lra.
Qed.

Lemma merge_keys p a b : In p (map snd a) \/ In p (map snd b) -> In p (map snd (merge a b)).
Proof.
  revert b. induction a as [|[x i] a IHa]; [intros b [[]|H]; exact H|].
  induction b as [|[y i'] b IHb]; [intros [H|[]]; exact H|].
  cbn [merge]. destruct (Pos.compare_spec i i') as [->|H|H]; cbn [map snd In] in *.
  - intros [[K|K]|[K|K]]; try (now left); right; apply IHa; tauto.
  - intros [[K|K]|K]; try (now left); right; apply IHa; cbn [map snd In]; tauto.
  - intros [K|[K|K]]; try (now left); right; [apply IHb; now left|apply IHb; now right].
Qed.

Lemma parts_keys m kept x t p : In x kept -> view (snd x) (cell_at m (snd x)) = Some (t, p) -> In p (map snd (parts m kept)).
Proof.
  intros Hx E. induction kept as [|w kept IH]; [easy|]. cbn [parts fold_right]. fold (parts m kept). destruct Hx as [->|Hx].
  - rewrite E. apply merge_keys. left. now left.
  - destruct (view (snd w) (cell_at m (snd w))) as [[t' p']|]; [|now apply IH]. apply merge_keys. right. now apply IH.
Qed.

Variable st : state.

Lemma found_keys ps l p : found (lines st) ps = Some l -> In p (map snd ps) ->
  exists s, PositiveMap.find p (lines st) = Some s.
Proof.
  revert l. induction ps as [|[x i] ps IH]; intros l; [easy|]. cbn [found fold_right map snd]. fold (found (lines st) ps).
  destruct (found (lines st) ps) as [l'|]; [|discriminate]. destruct (PositiveMap.find i (lines st)) as [s|] eqn:F;
    [|discriminate].
  intros _ [<-|H]; [now exists s|now apply (IH l')].
Qed.

Theorem columns_found kept columns missed key x t p : columns_for boundary st key kept = Some (columns, missed) ->
  In x kept ->
  view (snd x) (cell_at (known st) (snd x)) = Some (t, p) -> exists s, PositiveMap.find p (lines st) = Some s.
Proof.
  intros H Hx E. assert (K := parts_keys (known st) kept x t p Hx E). unfold columns_for in H.
  destruct (parts (known st) kept) as [|[a i] [|y ps]]; [easy| |].
  - destruct K as [K|[]]. cbn [snd] in K. subst i. destruct (PositiveMap.find p (lines st)) as [s|];
      [now exists s|discriminate].
  - destruct (found (lines st) _) as [l|] eqn:F in H; [|discriminate]. now apply found_keys with (1 := F).
Qed.

(** What stands behind a factor and a line. *)
Definition handle (p : positive) (g : nat) : R := match PositiveMap.find p
  (lines st) with Some s => mark s g | None => 0 end.
Definition times (v : option (float * positive)) (g : nat) : R :=
  match v with None => 0 | Some (t, p) => real (val t) * handle p g end.
Definition viewed (j : positive) : nat -> R := times (view j (cell_at (known st) j)).

Lemma parts_ok kept g : total (map (fun y => IZR (fst y) / 2 ^ 100 / 2 ^ 100 * handle (snd y) g) (parts (known st) kept)) =
  total (map (fun x => real (fst x) * viewed (snd x) g) kept).
Proof.
  rewrite (total_map_ext _ (fun y => / (2 ^ 100 * 2 ^ 100) * (IZR (fst y) * handle (snd y) g))) by (intros; field).
  rewrite total_scale. induction kept as [|w kept IH]; [unfold total; simpl; ring|]. cbn [parts fold_right map].
  fold (parts (known st) kept). rewrite (total_cons (_ * viewed _ _)), <- IH. unfold viewed, times.
  destruct (view (snd w) (cell_at (known st) (snd w))) as [[t p]|]; [|ring].
  rewrite (merge_total (fun p => handle p g)). cbn [map fst snd]. rewrite total_cons, mult_IZR. unfold total at 1, real.
  cbn [fold_right]. field.
Qed.

Hypothesis all_fine : forall p s, PositiveMap.find p (lines st) = Some s -> fine s.

Lemma found_ok ps l : found (lines st) ps = Some l -> Forall (fun x => fine (snd x)) l /\
  forall g, blend l g = total (map (fun y => IZR (fst y) / 2 ^ 100 / 2 ^ 100 * handle (snd y) g) ps).
Proof.
  revert l. induction ps as [|[x p] ps IH]; intros l; cbn [found fold_right].
  - intros H. injection H as <-. split; [constructor|reflexivity].
  - fold (found (lines st) ps). destruct (found (lines st) ps) as [l'|]; [|discriminate]. cbn [fst snd].
    destruct (PositiveMap.find p (lines st)) as [s|] eqn:F; [|discriminate]. intros H. injection H as <-.
    destruct (IH l' eq_refl) as [G B]. split; [constructor; [exact (all_fine p s F)|exact G]|].
    intros g. unfold blend in *. cbn [map fst snd]. rewrite !total_cons, B. f_equal. unfold handle. now rewrite F.
Qed.

Definition made (columns : option (float * stored * positive)) (g : nat) : R :=
  match columns with None => 0 | Some (t, s, _) => real (val t) * mark s g end.

Lemma full_factor : real (val unit_factor) = 1.
Proof. exact real_one. Qed.

Theorem columns_ok kept columns missed key : columns_for boundary st key kept = Some (columns, missed) ->
  (forall t s p, columns = Some (t, s, p) -> fine s /\ (PositiveMap.find p (lines st) = Some s \/ p = own_line key)) /\
  forall n, over n (fun g => Rabs (total (map (fun x => real (fst x) * viewed (snd x) g) kept) - made columns g)) <=
    real missed.
Proof.
  intros H. assert (Q := fun n h => over_ext n (fun g => Rabs (total (map (fun x => real (fst x) * viewed
    (snd x) g) kept) - h g)) _
    (fun g _ => f_equal (fun t => Rabs (t - h g)) (eq_sym (parts_ok kept g)))).
  unfold columns_for in H. destruct (parts (known st) kept) as [|[x p] [|y ps]].
  - apply some_pair in H. destruct H as [<- <-]. split; [discriminate|]. intros n. rewrite (Q n (made None)).
    rewrite (over_cut n 0); [rewrite real_0; unfold over; simpl; lra|lia|]. intros g _. unfold total.
    cbn [map fold_right made].
    rewrite Rminus_0_r. apply Rabs_R0.
  - destruct (PositiveMap.find p (lines st)) as [s|] eqn:F; [|discriminate]. cbv zeta in H. apply some_pair in H.
    destruct H as [<- <-].
    assert (G := all_fine p s F). split.
    + intros t' s' p' E. injection E as _ <- <-. split; [exact G|now left].
    + intros n. rewrite Q. set (t := near (Z.shiftr x 100)). apply Rle_trans with (2 := weighed _ _).
      assert (T := gap_times n (IZR (x - val t * one) / 2 ^ 100 / 2 ^ 100) s G).
      rewrite double_abs in T.
      apply Rle_trans with (2 := T). right. apply over_ext. intros g _. f_equal. unfold total.
      cbn [map fold_right fst snd made].
      unfold handle. rewrite F, minus_IZR, mult_IZR, one_is. unfold real. field.
  - revert H Q. generalize ((x, p) :: y :: ps). intros qs H Q. destruct (found (lines st) qs) as [l|] eqn:F; [|discriminate].
    cbv zeta in H. set (h := gain l) in H. destruct (Z.eqb_spec (val (near (Z.shiftl 1 (100 - h)))) (Z.shiftl 1 (100 - h)))
      as [Et|]; [|discriminate].
    destruct (mixed boundary h l) as [[s off]|] eqn:X; [|discriminate]. apply some_pair in H. destruct H as [<- <-].
    destruct (found_ok qs l F) as [G B]. destruct (mixed_ok h l s off G X) as [Gs V]. split.
    + intros t' s' p' E. injection E as _ <- <-. split; [exact Gs|now right].
    + intros n. rewrite Q. apply Rle_trans with (2 := V n). right. apply over_ext. intros g _. rewrite B. cbn [made].
      now rewrite Et.
Qed.

(** The line that readers of a base see. *)
Theorem base_ok columns l off g err l' : (forall t s p, columns = Some (t, s, p) -> fine s) ->
  settled boundary columns = Some (l, off) ->
  extended boundary l g (f_int err) = Some l' -> f_n err = 17%nat -> plain g = Z.of_nat k -> base k ->
  (good boundary (S k) l' /\ keyed base (s_line l')) /\
  forall n, over n (fun j => Rabs (made columns j + (if (j =? k)%nat then real (val err) else 0) - mark l' j)) <=
    real off.
Proof.
  intros G X Ex Hn Hg Hb. assert (S : fine l /\ forall n, over n (fun j => Rabs (made columns j - mark l j)) <= real off).
  { unfold settled in X. destruct columns as [[[t s] p]|].
    - assert (Fs : Forall (fun x => fine (snd x)) [((val t * one)%Z, s)]) by (constructor;
        [exact (G t s p eq_refl)|constructor]).
      destruct (mixed_ok _ _ _ _ Fs X) as [G' V]. split; [exact G'|]. intros n. apply Rle_trans with (2 := V n). right.
      apply over_ext.
      intros j _. f_equal. unfold blend, total. cbn [map fold_right fst snd made]. rewrite mult_IZR, one_is.
      replace (part 0) with 1 by (symmetry; exact real_one). unfold real. field.
    - apply some_pair in X. destruct X as [<- <-]. split; [split; [apply good_empty|exact I]|]. intros n.
      rewrite (over_cut n 0); [rewrite real_0; unfold over; simpl; lra|lia|]. intros j _. cbn [made]. unfold mark.
      change (value empty j) with 0%Z.
      unfold Rdiv. rewrite Rmult_0_l, Rminus_0_r. apply Rabs_R0. }
  destruct S as [[Gg Gk] V]. split.
  - split; [apply (extended_good _ _ _ _ _ _ _ Gg Ex); lia|]. apply (extended_keyed _ _ _ _ _ _ Gk) with (2 := Ex).
    now rewrite Hg, Nat2Z.id.
  - intros n. apply Rle_trans with (2 := V n). right. apply over_ext. intros j _. f_equal. unfold mark at 1.
    rewrite (extended_value _ _ _ _ _ _ j Gg Ex), plus_IZR, Hg.
    replace ((IZR (value l j) + IZR (if (Z.of_nat j =? Z.of_nat k)%Z then signed (f_int err) else 0)) / 2 ^ 32) with
      (mark l j + if (j =? k)%nat then real (val err) else 0); [lra|].
    unfold mark. destruct (Nat.eqb_spec j k) as [Q|Q], (Z.eqb_spec (Z.of_nat j) (Z.of_nat k)) as [Q'|Q']; try lia; [|lra].
    rewrite (grained err Hn). lra.
Qed.

(** Lines of marks have entries for bases before [k] only. *)
Lemma mark_only s g : fine s -> mark s g <> 0 -> base g /\ (g < k)%nat.
Proof.
  intros [G K] N. assert (V : value s g <> 0%Z) by (intros E; apply N; unfold mark; rewrite E; lra). split.
  - now apply (value_keyed base s).
  - destruct (Nat.lt_ge_cases g k) as [L|L]; [exact L|]. exfalso. apply V. now apply (value_beyond boundary k).
Qed.
End Lines.
